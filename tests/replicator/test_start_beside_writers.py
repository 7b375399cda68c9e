"""A process that starts while others of its home write takes what they are doing for no restored backup."""

from __future__ import annotations

from collections.abc import Callable

from crow_plugins.host import Host
from crow_plugins.memories.memories import Memories
from crow_plugins.replicator import SYNC
from crow_plugins.replicator.mending import Mending
from crow_plugins.replicator.seal import Seal, SealFile


class Meanwhile(SealFile):
    """Before the first look at the seal, somebody else does something."""

    def __init__(self, host: Host, act: Callable[[], object], *, seen: bool) -> None:
        super().__init__(host.home.folder)
        self._act: Callable[[], object] | None = act
        self._seen = seen

    def read(self) -> Seal | None:
        act, self._act = self._act, None
        if act is None:
            return super().read()
        if self._seen:
            act()
            return super().read()
        found = super().read()
        act()
        return found


def starting(host: Host, seal: SealFile) -> str | None:
    """Why a process that starts now doubts its feed."""
    sync = host.services.find("tests", SYNC)
    mending = Mending(host.hook.handle("replicator"), sync.own, sync._intake, seal)
    mending.begin()
    return mending.suspect()


def test_what_is_written_and_sealed_while_it_looks_is_no_reason_to_doubt(host: Host) -> None:
    memories, mending = Memories(host.hook.handle("memories")), host.services.find("tests", SYNC)._mending
    memories.store({"content": "one"})
    mending.seal()

    def write() -> None:
        memories.store({"content": "two"})
        mending.seal()

    assert starting(host, Meanwhile(host, write, seen=True)) is None
    assert starting(host, Meanwhile(host, write, seen=False)) is None


def test_a_first_entry_that_is_not_sealed_yet_is_waited_for(host: Host) -> None:
    mending = host.services.find("tests", SYNC)._mending
    Memories(host.hook.handle("memories")).store({"content": "one"})
    mending._seal.path.unlink()
    mending._sealed = None
    assert starting(host, Meanwhile(host, mending.seal, seen=False)) is None


def test_a_seal_that_stays_away_is_a_reason_to_doubt(host: Host) -> None:
    mending = host.services.find("tests", SYNC)._mending
    Memories(host.hook.handle("memories")).store({"content": "one"})
    mending._seal.path.unlink()
    assert starting(host, SealFile(host.home.folder)) == "there is no seal beside the database"


def test_a_database_that_went_back_is_doubted_though_its_process_was_killed_before_the_seal_was_on_the_disk(
    host: Host,
) -> None:
    memories, mending = Memories(host.hook.handle("memories")), host.services.find("tests", SYNC)._mending
    memories.store({"content": "one"})
    mending.seal_for_now()
    with host.read() as db:
        short = mending._own.reach(db)
    memories.store({"content": "two"})
    mending.seal_for_now()
    assert mending.sealed_length == short[1] + 1
    assert starting(host, SealFile(host.home.folder)) is None
    with host.transaction() as transaction:
        transaction.db.execute_sql("UPDATE feeds SET length = ? WHERE key = ?", (short[1], mending._own.key))
    assert "older than what was announced" in (starting(host, SealFile(host.home.folder)) or "")
