"""A machine whose database went back: it takes its own feed back, goes on, and nothing that was written is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from crow_plugins import store
from crow_plugins.replicator import branches, entry, healing
from tests.replicator.chain import Machine, carry, chain, exchange, introduce, reopen
from tests.store.world import ROW

ROWS = [f"{number:08d}-0000-4000-8000-000000000000" for number in range(10)]


def backup(machine: Machine, to: Path) -> Path:
    machine.rows("SELECT 1")
    with machine.store.transaction() as transaction:
        transaction.db.execute_sql("SELECT 1")
    to.mkdir()
    machine.store.close()
    for file in machine.store.path.parent.glob("crow.db*"):
        shutil.copy(file, to / file.name)
    return to


def restored(machine: Machine, saved: Path, *others: Machine, again: bool = False) -> Machine:
    """`again`: it does not notice, and gives the same names to other writes."""
    machine.store.close()
    home = machine.store.path.parent
    for file in home.glob("crow.db*"):
        file.unlink()
    for file in saved.glob("crow.db*"):
        shutil.copy(file, home / file.name)
    # A snapshot of a whole machine shows in its clocks at least, and that gives its writes a name of their own.
    options = {} if again else {"machine": lambda: store.Machine("boot", -3600.0)}
    made = reopen(home, machine.keyring, **options)
    introduce(made, *others)
    return made


def settle(*machines: Machine) -> None:
    """Exchange and rescue until nothing is new."""
    for _ in range(4):
        exchange(machines)
        for one in machines:
            for other in machines:
                if one is not other:
                    one.rescue(other)


def texts(machine: Machine) -> dict[object, object]:
    return dict(machine.rows("SELECT id, text FROM things"))  # type: ignore[arg-type]


def back_on_its_other_branch(folder: Path, grackle: Machine, swan: Machine) -> tuple[Machine, Path]:
    """Restored, and in doubt, with "once" where swan has "another branch"; and a file of that."""
    grackle.write("before", ROWS[0])
    short = backup(grackle, folder / "short")
    grackle = reopen(folder / "grackle", grackle.keyring)
    introduce(grackle, swan)
    grackle.write("once", ROWS[1])
    long = backup(grackle, folder / "long")
    grackle = restored(reopen(folder / "grackle", grackle.keyring), short, swan)
    grackle.doubt()
    grackle.write("another branch", ROWS[2])
    grackle.heal()
    carry(grackle, swan)
    grackle = restored(grackle, long, swan)
    grackle.doubt()
    return grackle, long


def test_a_restored_machine_takes_its_feed_back_and_goes_on(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan)
        grackle.write("after", ROWS[1])
        carry(grackle, swan)
        grackle = restored(grackle, saved, swan)
        grackle.doubt()
        grackle.write("meanwhile", ROWS[2])
        assert len(grackle.blocks()) == 1
        grackle.heal(swan)
        assert len(grackle.blocks()) == 3
        assert texts(grackle) == {ROWS[0]: "before", ROWS[1]: "after", ROWS[2]: "meanwhile"}
        settle(grackle, swan)
        assert grackle.things() == swan.things()
        grackle.store.close()


def test_two_branches_of_one_feed_end_in_one_history_with_both(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan, heron)
        for number in range(1, 5):
            grackle.write(f"old {number}", ROWS[number])
        grackle.write("the old one", ROW)
        carry(grackle, swan)
        grackle = restored(grackle, saved, swan, heron)
        grackle.write("unseen by the seal", ROWS[6])  # one step into another branch before anybody notices
        carry(grackle, heron)
        grackle.doubt()
        grackle.write("the new one", ROW)
        grackle.heal(swan, heron)
        settle(grackle, swan, heron)
        assert grackle.things() == swan.things() == heron.things()
        for number in range(1, 5):
            assert texts(grackle)[ROWS[number]] == f"old {number}"
        assert texts(grackle)[ROWS[6]] == "unseen by the seal"
        conflicts = grackle.rows("SELECT local_data, remote_data FROM sync_conflicts WHERE resolved = 0")
        assert len(conflicts) == 1
        assert all(text in str(conflicts[0]) for text in ("the old one", "the new one"))
        assert swan.rows("SELECT count(*) FROM orphans") == [(0,)]
        grackle.store.close()


def test_a_write_after_a_restore_never_has_the_name_of_one_that_was_lost(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("before")
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan)
        grackle.write("lost?")
        carry(grackle, swan)
        grackle = restored(grackle, saved, swan)
        grackle.doubt()
        grackle.write("new")
        grackle.heal(swan)
        settle(grackle, swan)
        names = swan.rows("SELECT name, lamport FROM writer_reach")
        assert len(names) == 2
        assert grackle.things() == swan.things()
        assert len(grackle.rows("SELECT id FROM sync_conflicts WHERE resolved = 0")) == 1
        grackle.store.close()


def test_a_head_of_which_nobody_has_all_blocks_is_given_up(tmp_path: Path) -> None:
    """Its hashes got around before the restore and the last block did not: waiting for it would be for ever."""
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan)
        grackle.write("it got around", ROWS[1])
        grackle.write("it did not", ROWS[2])
        carry(grackle, swan, blocks_max=2)
        grackle = restored(grackle, saved, swan)
        grackle.doubt()
        grackle.write("meanwhile", ROWS[3])
        grackle.heal(swan)
        settle(grackle, swan)
        assert texts(grackle) == {ROWS[0]: "before", ROWS[1]: "it got around", ROWS[3]: "meanwhile"}
        assert grackle.things() == swan.things()
        assert swan.rows("SELECT DISTINCT contiguous - length FROM feeds") == [(0,)]
        grackle.store.close()


def test_an_orphan_that_was_never_applied_is_applied_when_it_is_rescued(tmp_path: Path) -> None:
    """It was parked, since its plugin was off, when its writer took another branch."""
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan)
        swan.on.clear()
        grackle.write("only the swan has it", ROWS[1])
        carry(grackle, swan)
        grackle = restored(grackle, saved, swan)
        grackle.doubt()
        grackle.write("another branch", ROWS[2])
        grackle.heal()
        carry(grackle, swan)
        swan.on.add("things")
        assert swan.rescue(grackle) == 1
        with swan.store.transaction() as transaction:
            swan.intake.retry_parked(transaction)
        settle(grackle, swan)
        assert texts(swan)[ROWS[1]] == "only the swan has it"
        assert grackle.things() == swan.things()
        grackle.store.close()


def test_an_own_entry_that_came_back_and_is_parked_is_not_appended_again(tmp_path: Path) -> None:
    """It was cut off here and comes back in a later branch while its plugin is off, so no index has it."""
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle, long = back_on_its_other_branch(tmp_path, grackle, swan)
        grackle.heal(swan)
        assert len(grackle.blocks()) == 3
        carry(grackle, swan)
        grackle = restored(grackle, long, swan)
        grackle.on.clear()
        grackle.doubt()
        grackle.heal(swan)
        assert grackle.blocks() == swan.blocks(grackle)
        grackle.on.add("things")
        with grackle.store.transaction() as transaction:
            grackle.intake.retry_parked(transaction)
        settle(grackle, swan)
        assert grackle.things() == swan.things()
        assert texts(swan) == {ROWS[0]: "before", ROWS[1]: "once", ROWS[2]: "another branch"}
        grackle.store.close()


def test_what_an_older_release_cannot_read_is_kept_when_it_is_cut_off_and_rescued_by_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan)
        grackle.write("only the swan has it", ROWS[1])
        with monkeypatch.context() as older:
            older.setattr(entry, "FORMAT", entry.FORMAT - 1)
            carry(grackle, swan)
        grackle = restored(grackle, saved, swan)
        grackle.doubt()
        grackle.write("another branch", ROWS[2])
        grackle.heal()
        with monkeypatch.context() as older:
            older.setattr(entry, "FORMAT", entry.FORMAT - 1)
            carry(grackle, swan)
            assert swan.rescue(grackle) == 0
        with swan.store.transaction() as transaction:
            branches.read_again(transaction.db, transaction.now)
            swan.intake.retry_parked(transaction)
        assert swan.rescue(grackle) == 1
        settle(grackle, swan)
        assert texts(grackle)[ROWS[1]] == "only the swan has it"
        assert grackle.things() == swan.things()
        assert swan.rows("SELECT block FROM unread_blocks UNION ALL SELECT entry FROM orphans") == []
        grackle.store.close()


def test_an_own_entry_that_an_older_release_could_not_read_is_appended_again_by_a_newer_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle, _ = back_on_its_other_branch(tmp_path, grackle, swan)
        with monkeypatch.context() as older:
            older.setattr(entry, "FORMAT", entry.FORMAT - 1)
            grackle.heal(swan)
        assert len(grackle.blocks()) == 2
        with grackle.store.transaction() as transaction:
            assert not healing.is_waiting(transaction, grackle.own)
            branches.read_again(transaction.db, transaction.now)
            assert healing.is_waiting(transaction, grackle.own)
            healing.finish(transaction, grackle.own, grackle.intake, [], all_agree=True)
            assert not healing.is_waiting(transaction, grackle.own)
        settle(grackle, swan)
        assert texts(swan) == {ROWS[0]: "before", ROWS[1]: "once", ROWS[2]: "another branch"}
        grackle.store.close()


def test_an_orphan_that_somebody_rescued_and_that_is_parked_here_is_not_rescued_again(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        grackle.write("before", ROWS[0])
        saved = backup(grackle, tmp_path / "saved")
        grackle = reopen(tmp_path / "grackle", grackle.keyring)
        introduce(grackle, swan, heron)
        grackle.write("cut off", ROWS[1])
        for each in (swan, heron):
            carry(grackle, each)
        grackle = restored(grackle, saved, swan, heron)
        grackle.doubt()
        grackle.write("another branch", ROWS[2])
        grackle.heal()
        swan.on.clear()
        for each in (swan, heron):
            carry(grackle, each)
        assert heron.rescue(grackle) == 1
        carry(heron, swan)
        assert swan.rescue(grackle) == 0
        assert swan.rows("SELECT 1 FROM orphans") == []
        swan.on.add("things")
        with swan.store.transaction() as transaction:
            swan.intake.retry_parked(transaction)
        settle(grackle, swan, heron)
        assert swan.blocks() == []
        assert texts(swan)[ROWS[1]] == "cut off"
        assert grackle.things() == swan.things() == heron.things()
        grackle.store.close()
