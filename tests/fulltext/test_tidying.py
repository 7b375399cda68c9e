"""An index that many writes left in many pieces is merged, a little at a time, and says the same as before."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path

import pytest

from crow_plugins.fulltext import index_jobs, tidying
from crow_plugins.fulltext.checking import index_finding
from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories
from crow_plugins.memories.memory import Filters
from crow_plugins.memories.schema import INDEX

pytestmark = pytest.mark.anyio
WRITES = 40


async def test_the_pieces_of_an_index_are_merged(
    make_home: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tidying, "PAGES", 2)
    with Host(make_home("grackle")) as host:
        before, after, found = await _tidied(host)
    assert before > 2 * after
    assert found == WRITES


async def _tidied(host: Host) -> tuple[int, int, int]:
    crow = host.hook.handle("memories")
    memories = Memories(crow)
    for number in range(WRITES):
        await to_thread(memories.store, {"content": f"kettle {number}"})
    before = await to_thread(_pieces, host)
    [job] = index_jobs(crow, INDEX)
    await job.run()
    after = await to_thread(_pieces, host)
    found = await to_thread(memories.find, "kettle", Filters(), 5)
    return before, after, found.total


def _pieces(host: Host) -> int:
    with host.transaction() as transaction:
        assert index_finding(transaction.db, INDEX).ok
        sql = "SELECT count(DISTINCT segid) FROM memories_fts_idx"
        return int(transaction.db.execute_sql(sql).fetchone()[0])
