"""A plugin of the calling instance has its say before anything leaves."""

from __future__ import annotations

from asyncio import to_thread
from pathlib import Path

import pytest

from crow_hooks import CallAnswer
from crow_plugins.federation.audit import AUDIT
from tests.federation.chain import federation, know
from tests.federation.test_many import Wire, many
from tests.plugins.watchman import CALLS

pytestmark = pytest.mark.anyio
WATCHMAN = '\n[[plugin]]\nname = "watchman"\nmodule = "tests.plugins.watchman"\n'


async def test_what_a_plugin_denies_or_fails_over_never_leaves_and_is_written_down(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan", plugins=WATCHMAN) as made:
        grackle, swan = made.values()
        wire = Wire(swan.url)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            for query, reason in (
                ("deny", "the watchman says no"),
                ("raise", "a plugin of this instance could not decide, so the call was not made"),
            ):
                outcome = await federation(grackle).call(swan.host.instance.id, "crow_search", {"query": query})
                assert (outcome.code, outcome.reason) == ("refused", reason)
            assert (wire.connections, bytes(wire.heard)) == (0, b"")
            outcome = await federation(grackle).call(swan.host.instance.id, "crow_search", {"query": "kettle"})
            assert isinstance(outcome, CallAnswer)
            assert wire.connections == 1
        asked = [(call.direction, call.peer.name, call.tool) for call in grackle.host.services.find("tests", CALLS)]
        assert asked == [("outbound", "swan", "crow_search")] * 3
        audit = grackle.host.services.find("tests", AUDIT)
        await to_thread(audit.flush)
        rows = [(row.direction, row.tool, row.decision, row.status) for row in await to_thread(audit.rows)]
        assert rows == [
            ("outbound", "crow_search", "allowed", "ok"),
            *[("outbound", "crow_search", "denied", "refused")] * 2,
        ]
