"""After a revocation nothing is visible anywhere that the revoked machine wrote past its cut-off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from crow_hooks import Resolution
from crow_plugins.identity.revocation import Branch, Revocation
from crow_plugins.replicator.entry import rescued
from tests.replicator.chain import ROW, Machine, carry, chain, exchange, introduce, reopen
from tests.replicator.test_healing import ROWS, backup, restored, settle, texts


def revocation(of: Machine, length: int, seen_by: Machine | None = None, **upto: int) -> Revocation:
    """What `seen_by`, or else the machine itself, holds of its feed up to a length is what counts."""
    return Revocation(
        chain=bytes.fromhex(of.keyring.identity.chain),
        instance_id=of.id,
        serial=1,
        feed=(seen_by or of).branch(length, of),
        upto=upto,
        issued_at=1,
    )


def test_rows_are_made_anew_from_what_still_counts(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief", "laptop") as [home, thief, laptop]:
        home.write("mine", ROW)
        thief.write("good", ROWS[0])
        exchange([home, thief, laptop])
        thief.write("stolen", ROW)
        thief.write("bad", ROWS[0])
        thief.write("worse", ROWS[1])
        thief.delete(ROWS[0])
        carry(thief, home)
        assert texts(home) == {ROW: "stolen", ROWS[1]: "worse"}
        for machine in (home, laptop):
            machine.hear(revocation(thief, 1))
        settle(home, laptop)
        carry(home, laptop, thief)
        assert texts(home) == texts(laptop) == {ROW: "mine", ROWS[0]: "good"}
        assert home.things() == laptop.things()


def test_an_edit_over_a_dropped_write_stands_and_nobody_differs(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief", "laptop") as [home, thief, laptop]:
        home.write("mine", ROW)
        exchange([home, thief, laptop])
        thief.write("stolen", ROW)
        carry(thief, home)
        home.write("mine again", ROW)
        laptop.write("beside", ROW)
        for machine in (home, laptop):
            machine.hear(revocation(thief, 0))
        settle(home, laptop)
        assert home.things() == laptop.things()
        assert len(home.rows("SELECT id FROM sync_conflicts WHERE resolved = 0")) == 1


def test_conflicts_with_a_dropped_version_are_gone(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief]:
        home.write("mine", ROW)
        exchange([home, thief])
        home.write("mine two", ROW)
        thief.write("stolen", ROW)
        exchange([home, thief])
        assert len(home.rows("SELECT id FROM sync_conflicts WHERE resolved = 0")) == 1
        home.hear(revocation(thief, 0))
        assert home.rows("SELECT count(*) FROM sync_conflicts") == [(0,)]
        assert home.text() == "mine two"


def test_a_closed_conflict_of_others_stays_when_a_version_of_an_equal_lamport_is_dropped(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan", "heron") as [grackle, swan, heron]:
        grackle.write("before", ROW)
        exchange([grackle, swan, heron])
        grackle.write("here", ROW)
        swan.write("there", ROW)
        dropped = heron.write("stolen", ROW)
        carry(swan, grackle)
        with grackle.store.transaction() as transaction:
            [conflict] = transaction.open_conflicts("things", ROW)
            assert dropped is not None
            assert dropped.version.lamport == conflict.local_version.lamport
            transaction.settle(conflict, Resolution("local"), by="person")
        carry(heron, grackle)
        grackle.hear(revocation(heron, 0))
        assert grackle.rows("SELECT id, resolved FROM sync_conflicts") == [(conflict.id, 1)]


def test_hearing_it_before_the_entries_comes_to_the_same_as_after(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief", "laptop") as [home, thief, laptop]:
        thief.write("good", ROWS[0])
        thief.write("bad", ROWS[0])
        laptop.hear(revocation(thief, 1))
        carry(thief, home)
        carry(thief, laptop)
        home.hear(revocation(thief, 1))
        assert home.things() == laptop.things()
        assert texts(home) == {ROWS[0]: "good"}


@pytest.mark.parametrize("higher_fork", [False, True])
@pytest.mark.parametrize("same_names", [False, True])
def test_two_machines_that_were_shown_two_branches_end_with_the_one_that_the_revocation_names(
    tmp_path: Path, higher_fork: bool, same_names: bool
) -> None:
    with chain(tmp_path, "home", "thief", "laptop", "phone") as [home, thief, laptop, phone]:
        laptop.write("mine", ROW)
        exchange([home, thief, laptop])
        thief.write("good", ROWS[0])
        saved = backup(thief, tmp_path / "saved")
        thief = reopen(tmp_path / "thief", thief.keyring)
        introduce(thief, home, laptop)
        thief.write("shown to home", ROWS[1])
        thief.write("shown to home, too", ROWS[2])
        carry(thief, home)
        branch = revocation(thief, 3, home)
        thief = restored(thief, saved, home, laptop, again=same_names)
        if higher_fork:
            thief.doubt()
            thief.heal()
        for number in range(2, 8):
            thief.write("shown to the laptop", ROWS[number])
        thief.write("stolen", ROW)
        carry(thief, laptop)
        assert laptop.text() == "stolen"
        for machine in (laptop, home, phone):
            machine.hear(branch)
        assert texts(laptop) == {ROW: "mine"}  # until somebody shows the branch that counts, none does
        carry(laptop, phone, thief)
        carry(home, laptop, thief)
        carry(laptop, phone, thief)
        settle(home, laptop, phone)
        good = {ROW: "mine", ROWS[0]: "good", ROWS[1]: "shown to home", ROWS[2]: "shown to home, too"}
        assert texts(home) == texts(laptop) == texts(phone) == good
        assert home.things() == laptop.things() == phone.things()
        assert laptop.blocks(thief)[:3] == home.blocks(thief)[:3]
        assert laptop.rows("SELECT 1 FROM orphans UNION ALL SELECT 1 FROM parked_entries") == []
        thief.store.close()


def test_what_another_branch_held_within_the_names_that_count_is_rescued(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "lost", "laptop") as [home, lost, laptop]:
        lost.write("before", ROWS[0])
        saved = backup(lost, tmp_path / "saved")
        lost = reopen(tmp_path / "lost", lost.keyring)
        introduce(lost, home, laptop)
        kept = lost.write("only the laptop has it", ROWS[1])
        lost.write("past what counts", ROWS[2])
        carry(lost, laptop)
        lost = restored(lost, saved, home, laptop)
        lost.write("another branch", ROWS[3])
        carry(lost, home)
        assert kept is not None
        epoch = kept.version.writer.split(".")[1]
        branch = revocation(lost, 2, home, **{epoch: kept.version.lamport})
        for machine in (laptop, home):
            machine.hear(branch)
        carry(home, laptop, lost)
        assert laptop.rescue(lost) == 1
        settle(home, laptop)
        good = {ROWS[0]: "before", ROWS[1]: "only the laptop has it", ROWS[3]: "another branch"}
        assert texts(home) == texts(laptop) == good
        assert home.things() == laptop.things()
        lost.store.close()


def test_a_feed_that_was_left_out_counts_again_when_it_is_the_branch_of_a_statement_that_goes_before(
    tmp_path: Path,
) -> None:
    with chain(tmp_path, "home", "thief") as [home, thief]:
        thief.write("good", ROWS[0])
        thief.write("bad", ROWS[1])
        carry(thief, home)
        home.hear(replace(revocation(thief, 2), feed=Branch(0, 2, b"\1" * 32)))
        assert texts(home) == {}
        home.hear(revocation(thief, 1))
        home.take(thief)
        assert texts(home) == {ROWS[0]: "good"}


def test_what_was_rescued_counts_up_to_the_lamport_that_the_revocation_names(tmp_path: Path) -> None:
    with chain(tmp_path, "home", "thief", "laptop") as [home, thief, laptop]:
        writes = [thief.write(text, row) for text, row in (("in time", ROWS[0]), ("late", ROWS[1]))]
        first = writes[0]
        assert first is not None
        epoch = first.version.writer.split(".")[1]
        home.hear(revocation(thief, 0, None, **{epoch: first.version.lamport}))
        with laptop.store.transaction() as transaction:
            laptop.own.append(transaction.db, [rescued(block, laptop.id, 1) for block in thief.blocks()])
        outcome = carry(laptop, home)
        assert outcome is not None
        assert (outcome.applied, outcome.uncounted, outcome.parked) == (1, 1, [])
        assert texts(home) == {ROWS[0]: "in time"}
