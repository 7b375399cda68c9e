"""Contacts on two gateways, through their tools over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.replicator.assistants import apart, two_machines

pytestmark = pytest.mark.anyio


async def test_a_contact_lives_its_life_on_both_machines_and_two_edits_made_apart_are_a_conflict(
    tmp_path: Path,
) -> None:
    async with two_machines(tmp_path) as (grackle, swan):
        added = await grackle.call("crow_add_contact", name="Ann Ono", email="ann@example.org")
        there = await swan.sees("crow_find_contacts", lambda found: found["items"], query="ono")
        assert {**there["items"][0], "score": None} == {**added, "score": None}
        phones = [{"number": "+44 20 7946 0000", "label": "work"}]
        await swan.call("crow_update_contact", id=added["id"], phones=phones)
        await grackle.sees("crow_find_contacts", lambda found: found["items"], query="79460000")
        async with apart(grackle, swan):
            await grackle.call("crow_update_contact", id=added["id"], title="Dentist")
            await swan.call("crow_update_contact", id=added["id"], title="Doctor")
        [conflict], _ = await grackle.conflicts(1), await swan.conflicts(1)
        assert set(conflict["fields"]) - {"updated_at"} == {"title"}
        merged = {"title": "Dentist and doctor"}
        await grackle.call("crow_resolve_conflict", conflict_id=conflict["id"], resolution="merge", merged_data=merged)
        await swan.sees("crow_find_contacts", lambda found: len(found["items"]) == 1, query="dentist doctor")
        await swan.conflicts(0)
        await swan.call("crow_delete_contact", id=added["id"])
        await grackle.sees("crow_list_contacts", lambda page: page["total"] == 0)
        assert await grackle.types() == {"contact_update", "contact_delete"}
