"""What several instances hold is one hit, in its newest version; who failed again and again is named and not asked."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Sequence
from typing import Any

import pytest

from crow_plugins.federation.breaker import FAILURES_MAX
from crow_plugins.federation.searching import FederatedHit, merged
from crow_plugins.memories.memory import MEMORY
from tests.federation.chain import call_tool, chain, know
from tests.federation.chain import made as made
from tests.federation.test_many import DEAD
from tests.replicator.gateways import Instance

pytestmark = pytest.mark.anyio


def hit(row_id: str, lamport: int = 1, *, updated_at: int = 0, kind: str = "memory") -> FederatedHit:
    return FederatedHit(
        kind=kind,
        id=row_id,
        title=f"version {lamport}",
        snippet="",
        updated_at=updated_at,
        origin_instance="0",
        lamport_ts=lamport,
    )


def shown(hits: Sequence[FederatedHit]) -> list[tuple[str, str, list[str]]]:
    return [(each.id, each.title, each.held_by) for each in hits]


def test_copies_of_a_row_are_one_hit_with_all_places_and_the_newest_version() -> None:
    found = merged(
        [("grackle", [hit("a", 3), hit("b", 5)]), ("swan", [hit("b", 4), hit("a", 7)]), ("heron", [hit("a")])]
    )
    assert shown(found) == [
        ("a", "version 7", ["grackle", "swan", "heron"]),
        ("b", "version 5", ["grackle", "swan"]),
    ]


def test_copies_are_no_votes_and_kinds_are_not_mixed() -> None:
    alone, copied = hit("a", updated_at=9), hit("b", updated_at=1)
    found = merged([("grackle", [copied]), ("swan", [copied]), ("heron", [alone, hit("b", kind="note")])])
    assert shown(found)[0] == ("a", "version 1", ["heron"]), "of equal rank the newer stands first, however many hold"
    assert sorted((each.kind, each.id) for each in found) == [("memory", "a"), ("memory", "b"), ("note", "b")]


def copy_row(there: Instance, here: Instance, **changed: object) -> None:
    """Have another instance hold the first memory of one, as sync would bring it, in another version."""
    with there.host.read() as db:
        columns = ("number", *MEMORY.columns)
        values = db.execute_sql(f"SELECT {', '.join(columns)} FROM memories").fetchone()
    row: dict[str, Any] = dict(zip(columns, values, strict=True)) | changed
    with here.host.transaction() as transaction:
        marks = ", ".join("?" * len(row))
        transaction.db.execute_sql(f"INSERT INTO memories ({', '.join(row)}) VALUES ({marks})", tuple(row.values()))


async def test_a_search_shows_a_row_of_two_instances_once_as_the_newer_has_it(made: dict[str, Instance]) -> None:
    async with chain(made) as (grackle, swan, heron):
        await swan.remember("tax notes as swan has them")
        await to_thread(lambda: copy_row(swan, heron, content="tax notes as heron has them", lamport_ts=1_000_000))
        found = await call_tool(grackle, "crow_federated_search", query="tax notes")
        [item] = found["items"]
        assert item["snippet"].replace("**", "") == "tax notes as heron has them"
        assert sorted(item["held_by"]) == ["heron", "swan"]
        assert found["complete"] is True


async def test_one_that_failed_again_and_again_is_stale_and_not_asked(made: dict[str, Instance]) -> None:
    async with chain(made) as (grackle, swan, heron):
        await to_thread(know, grackle, heron, DEAD)
        statuses = []
        for _ in range(FAILURES_MAX + 1):
            found = await call_tool(grackle, "crow_federated_search", query="x", instances=["swan", "heron"])
            statuses.append({each["name"]: each["status"] for each in found["instances"]})
        assert statuses == [
            *[{"grackle": "ok", "swan": "ok", "heron": "unreachable"}] * FAILURES_MAX,
            {"grackle": "ok", "swan": "ok", "heron": "stale"},
        ]
        assert found["complete"] is False
        [line] = [each for each in found["instances"] if each["name"] == "heron"]
        assert line["reason"] == "it did not answer several times; it is tried again in a while"
        assert swan.url
