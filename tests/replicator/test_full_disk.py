"""A full disk stops taking in from everybody, says so wherever it is asked, loses nothing, and goes on by itself."""

from __future__ import annotations

import logging
import time
from asyncio import to_thread
from pathlib import Path
from typing import Any

import apsw
import pytest

from crow_hooks import Finding
from crow_plugins.doctor import Premises, examine
from crow_plugins.remarks import of_sync
from crow_plugins.replicator.failing import Failing
from crow_plugins.replicator.shelf import ChainFeed
from crow_plugins.replicator.tools import SyncAnswer, status_text, sync_answer
from crow_plugins.replicator.trust import Trust
from crow_plugins.replicator.uptake import Uptake
from crow_plugins.store import StoreUnavailable
from tests.replicator.chain import Machine, carry, chain
from tests.replicator.full_disk import small_disk
from tests.replicator.gateways import Instance, acquainted, open_instance, until
from tests.replicator.test_absence import fill
from tests.replicator.test_chains import are_equal, gateways, rows
from tests.replicator.test_healing import ROWS

FULL = "Nothing can be taken in: the disk is full; make room on it, and this goes on by itself"


class Applies:
    """As much of a handle, and of who is trusted, as applying needs."""

    def __init__(self, one: Machine, other: Machine) -> None:
        self.read, self.transaction = one.store.read, one.store.transaction
        self._one, self._feed = one, ChainFeed(other.own.key, other.own.manifest, other.id)

    def feeds(self) -> dict[bytes, ChainFeed]:
        return {self._feed.key: self._feed}

    def now(self) -> Trust:
        return self._one.trust

    def notify(self, event: str, **said: object) -> None:
        pass


def test_an_entry_is_not_searched_for_where_the_disk_is_at_fault(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk("full-uptake") as disk, chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        for number in range(20):
            grackle.write(f"text {number}", ROWS[number % len(ROWS)])
        carry(grackle, swan, apply=False)
        applies: Any = Applies(swan, grackle)
        uptake = Uptake(applies, swan.own, swan.intake, applies, frozenset)
        disk.full = swan.store.path.parent
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="full"):
                uptake.take_all()
        assert swan.rows("SELECT 1 FROM things UNION ALL SELECT 1 FROM sync_state") == []
        disk.full = None
        uptake.take_all()
        assert swan.things() == grackle.things()
        assert swan.rows("SELECT * FROM parked_entries") == []
        assert "one by one" not in caplog.text


def answer(instance: Instance) -> SyncAnswer:
    return sync_answer(instance.host.instance.id, instance.sync, instance.desk)


def test_a_busy_database_is_no_fault_of_an_entry_either(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("text", ROWS[0])
        carry(grackle, swan, apply=False)
        applies: Any = Applies(swan, grackle)
        uptake = Uptake(applies, swan.own, swan.intake, applies, frozenset)
        writer = swan.store._connections.writer
        with writer.connection_context():
            writer.execute_sql("PRAGMA busy_timeout = 20")
        another = apsw.Connection(str(swan.store.path))
        another.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked") as raised:
            uptake.take_all()
        failing = Failing(tmp_path)
        failing.begin()
        failing.note("applying", raised.value, 1)
        assert "busy" in (failing.said(1) or "")
        another.execute("ROLLBACK")
        another.close()
        uptake.take_all()
        assert swan.things() == grackle.things()
        assert swan.rows("SELECT * FROM parked_entries") == []
        assert "one by one" not in caplog.text


def own_reach(instance: Instance) -> tuple[int, int]:
    with instance.host.read() as db:
        return instance.sync.own.reach(db)


def said(instance: Instance) -> list[str]:
    """What the command and the tool say of it."""
    found = answer(instance)
    remarks = [remark.text for remark in of_sync(found.model_dump()) if remark.tone == "bad"]
    assert [line for line in status_text(found).splitlines() if "taken in" in line] == remarks
    return remarks


def examined(instance: Instance) -> Finding:
    """What `crow doctor` says of it, which opens the home anew."""
    lines = examine(Premises(instance.host.home, None, int(time.time())))
    return {line.label: line.finding for line in lines}["replicator applying"]


@pytest.mark.anyio
async def test_a_full_disk_stops_everything_visibly_and_goes_on_when_there_is_room(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="crow_plugins.replicator")
    with small_disk("full-sync") as disk:
        async with gateways(tmp_path, "grackle", "swan") as [grackle, swan]:
            beside = open_instance(swan.home)
            try:
                await acquainted(grackle, swan)
                await grackle.remember("before")
                await swan.holds("before")
                assert await to_thread(said, beside) == []
                written = await to_thread(own_reach, swan)
                disk.full = swan.home
                await to_thread(fill, grackle, 1000)
                for each in (swan, beside):
                    await until(lambda each=each: said(each) == [FULL])  # type: ignore[misc]
                assert FULL.endswith(str((await to_thread(answer, beside)).failing))
                found = await to_thread(examined, swan)
                assert not found.ok
                assert found.message.endswith("the disk is full")
                assert found.remedy == "make room on it, and this goes on by itself"
                with pytest.raises(StoreUnavailable, match="disk is full"):
                    await swan.remember("no room for it")
                assert await to_thread(swan.contents) == ["before"]
                assert await to_thread(own_reach, swan) == written
                lines = [record.getMessage() for record in caplog.records]
                # A connection that ends at once is made ever less often; before, it was some twenty times a second.
                assert sum(line.startswith("peer connected") for line in lines) < 20
                assert sum(line.startswith("tending the feeds failed") for line in lines) <= 2
                disk.full = None
                await until(lambda: len(swan.contents()) == 1001)
                await until(lambda: said(beside) == [])
                assert (await to_thread(examined, swan)).ok
                await swan.remember("room again")
                await are_equal(grackle, swan)
                assert await to_thread(rows, swan, "SELECT * FROM parked_entries") == []
                assert disk.refused > 0
            finally:
                await to_thread(beside.host.close)
