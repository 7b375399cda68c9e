"""What is written on one machine is on the other: applied in order, once, or parked with its reason."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from crow_hooks import Column, Entry, Resolution, SyncedTable
from crow_plugins.replicator.entry import Read
from crow_plugins.store import StoreUnavailable, WriteTransaction
from tests.replicator.chain import ROW, carry, chain, exchange, introduce, machine
from tests.store.world import THINGS

OTHER_ROW = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb"


def test_a_write_stands_in_the_feed_with_its_row(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle") as [grackle]:
        grackle.write("one")
        grackle.write("two")
        blocks = [json.loads(block) for block in grackle.blocks()]
        assert [block["data"]["text"] for block in blocks] == ["one", "two"]
        assert [block["lamport"] for block in blocks] == [1, 2]
        assert [seq for _, seq in grackle.told] == [0, 1]


def test_a_write_that_rolls_back_leaves_nothing_in_the_feed(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle") as [grackle]:
        grackle.write("one")
        grackle.listener.fail = RuntimeError("no")
        with pytest.raises(RuntimeError):
            grackle.write("two")
        grackle.listener.fail = None
        grackle.write("three")
        assert [json.loads(block)["data"]["text"] for block in grackle.blocks()] == ["one", "three"]


def test_what_is_written_on_one_is_on_the_other(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("one")
        outcome = carry(grackle, swan)
        assert outcome is not None
        assert (outcome.applied, outcome.parked) == (1, [])
        assert swan.text() == "one"
        swan.write("two")
        carry(swan, grackle)
        assert grackle.text() == "two"
        assert grackle.things() == swan.things()


def test_taking_in_twice_changes_nothing(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("one")
        carry(grackle, swan)
        before = swan.things()
        carry(grackle, swan)
        assert swan.things() == before
        assert swan.rows("SELECT last_seq, last_lamport FROM sync_state") == [(1, 1)]


def test_concurrent_writes_are_a_conflict_on_both_and_its_resolution_closes_it_on_both(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("tea")
        exchange([grackle, swan])
        grackle.write("coffee")
        swan.write("milk")
        exchange([grackle, swan])
        assert grackle.things() == swan.things()
        assert len(grackle.rows("SELECT id FROM sync_conflicts WHERE resolved = 0")) == 1
        with swan.store.transaction() as transaction:
            [conflict] = transaction.open_conflicts("things", ROW)
            transaction.settle(conflict, Resolution("remote"), by="person")
        exchange([grackle, swan])
        assert grackle.things() == swan.things()
        assert grackle.rows("SELECT id FROM sync_conflicts WHERE resolved = 0") == []


def test_two_satellites_that_never_meet_are_brought_together_by_the_one_between(tmp_path: Path) -> None:
    with chain(tmp_path, "one", "home", "two") as [one, home, two]:
        one.write("from one")
        two.write("from two", OTHER_ROW)
        carry(one, home)
        carry(two, home)
        carry(home, two, one)
        carry(home, one, two)
        assert one.things() == home.things() == two.things()


def test_an_entry_of_a_plugin_that_is_off_is_parked_and_applied_when_it_is_on(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        swan.on.clear()
        grackle.write("one")
        outcome = carry(grackle, swan)
        assert outcome is not None
        assert outcome.parked == [(0, "plugin_off")]
        assert swan.text() is None
        assert swan.rows("SELECT seq, reason FROM parked_entries") == [(0, "plugin_off")]
        swan.on.add("things")
        with swan.store.transaction() as transaction:
            assert swan.intake.retry_parked(transaction).applied == 1
        assert swan.text() == "one"
        assert swan.rows("SELECT seq FROM parked_entries") == []
        assert grackle.things() == swan.things()


def test_a_parked_entry_does_not_stand_in_the_way_of_others_even_of_its_row(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        swan.on.clear()
        grackle.write("one")
        carry(grackle, swan)
        swan.on.add("things")
        grackle.write("two")
        grackle.write("beside", OTHER_ROW)
        carry(grackle, swan)
        assert swan.text() == "two"
        with swan.store.transaction() as transaction:
            assert swan.intake.retry_parked(transaction).applied == 1
        assert grackle.things() == swan.things()


def test_an_entry_that_its_table_cannot_take_is_parked_alone_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:

        def show(entry: Entry, transaction: WriteTransaction) -> bool:
            if entry.data["text"] == "bad":
                transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'half')", (entry.row_id,))
                raise RuntimeError("a plugin that cannot")
            return False

        swan.listener.show = show  # type: ignore[method-assign]
        grackle.write("before")
        grackle.write("bad", OTHER_ROW)
        grackle.write("after")
        carry(grackle, swan, apply=False)
        outcome = swan.take(grackle, careful=True)
        assert (outcome.applied, outcome.parked) == (2, [(1, "failed")])
        assert (swan.text(), swan.text(OTHER_ROW)) == ("after", None)
        assert swan.rows("SELECT row_id FROM row_versions") == [(ROW,)]
        del swan.listener.show
        with swan.store.transaction() as transaction:
            assert swan.intake.retry_parked(transaction).applied == 1
        assert grackle.things() == swan.things()


def test_a_disk_that_is_full_parks_nothing_and_what_it_kept_out_comes_when_there_is_room(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        for number in range(40):
            grackle.write("x" * 900, f"{number:08d}-0000-4000-8000-000000000000")
        carry(grackle, swan, apply=False)
        swan.fill()
        with pytest.raises(StoreUnavailable):
            swan.take(grackle, careful=True)
        assert swan.rows("SELECT * FROM parked_entries") == swan.rows("SELECT * FROM sync_state") == []
        swan.fill(room=True)
        assert swan.take(grackle, careful=True).applied == 40
        assert grackle.things() == swan.things()


def test_a_plugin_whose_own_file_finds_the_disk_full_parks_nothing(tmp_path: Path) -> None:
    """Unlike Crow's own database, whose transaction SQLite then ends, that file leaves ours as it is."""
    with (
        chain(tmp_path, "grackle", "swan") as [grackle, swan],
        closing(apsw.Connection(str(tmp_path / "aside.db"))) as aside,
    ):
        aside.execute("CREATE TABLE notes (text TEXT)")
        aside.execute(f"PRAGMA max_page_count = {aside.execute('PRAGMA page_count').get}")

        def show(entry: Entry, transaction: WriteTransaction) -> bool:
            aside.execute("INSERT INTO notes VALUES (?)", (str(entry.data["text"]) * 10_000,))
            return False

        swan.listener.show = show  # type: ignore[method-assign]
        grackle.write("one")
        carry(grackle, swan, apply=False)
        with pytest.raises(StoreUnavailable):
            swan.take(grackle, careful=True)
        assert swan.rows("SELECT * FROM parked_entries") == swan.rows("SELECT * FROM sync_state") == []
        aside.execute("PRAGMA max_page_count = 1000000")
        assert swan.take(grackle, careful=True).applied == 1
        assert grackle.things() == swan.things()


def test_what_was_read_ahead_is_applied_like_anything_else(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan", "owl") as [grackle, swan, owl]:
        grackle.write("one")
        grackle.write("two")
        carry(grackle, swan)
        carry(grackle, owl, apply=False)
        ahead = owl.ahead(grackle)
        assert [isinstance(found, Read) and found.fits for found in ahead.read()] == [True, True]
        assert owl.take(grackle, ahead=ahead).applied == 2
        assert owl.things() == swan.things()


def test_what_was_read_ahead_is_dropped_when_another_thread_was_faster(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("one")
        carry(grackle, swan, apply=False)
        ahead = swan.ahead(grackle)
        assert swan.take(grackle).applied == 1
        assert swan.take(grackle, ahead=ahead).applied == 0
        grackle.write("two")
        carry(grackle, swan, apply=False)
        assert swan.take(grackle, ahead=ahead).applied == 1
        assert swan.text() == "two"


def test_what_was_read_ahead_of_another_branch_is_dropped(tmp_path: Path) -> None:
    with chain(tmp_path, "grackle", "swan") as [grackle, swan]:
        grackle.write("one")
        carry(grackle, swan, apply=False)
        ahead = swan.ahead(grackle)
        grackle.doubt()
        grackle.heal()  # under a higher fork
        carry(grackle, swan, apply=False)
        outcome = swan.take(grackle, ahead=replace(ahead, blocks=[b"of a branch that was given up"], _found=None))
        assert (outcome.applied, outcome.parked) == (1, [])
        assert swan.text() == "one"


def test_an_entry_that_breaks_a_rule_is_parked_whether_or_not_it_was_read_ahead(tmp_path: Path) -> None:
    longer = SyncedTable("things", (*THINGS.columns, Column("colour", "text")), THINGS.change_types)
    scripts = {"more_scripts": {"colours": ["ALTER TABLE things ADD COLUMN colour TEXT NOT NULL DEFAULT ''"]}}
    with chain(tmp_path, "grackle") as [grackle]:
        swan = machine(tmp_path, "swan", 2, synced=[longer], **scripts)
        introduce(grackle, swan)
        grackle.write("one")
        carry(grackle, swan, apply=False)
        ahead = swan.ahead(grackle)
        assert [isinstance(found, Read) and found.fits for found in ahead.read()] == [False]
        assert swan.take(grackle, ahead=ahead).parked == [(0, "breaks_schema")]
        swan.store.close()
