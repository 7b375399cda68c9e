"""After a revocation nothing is visible anywhere that the revoked machine wrote past its cut-off."""

from __future__ import annotations

from pathlib import Path

from crow_hooks import Resolution
from crow_plugins.identity.revocation import Branch, Revocation
from tests.replicator.chain import ROW, Machine, carry, chain, exchange
from tests.replicator.test_healing import ROWS, settle, texts


def revocation(of: Machine, length: int, **upto: int) -> Revocation:
    return Revocation(
        chain=bytes.fromhex(of.keyring.identity.chain),
        instance_id=of.id,
        serial=1,
        feed=Branch(0, length, b"\0" * 32),
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
