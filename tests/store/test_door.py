"""The write door: one transaction for all that must be true together, and nothing leaves before its commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import peewee
import pytest

from crow_hooks import Change, ConflictOpen, Invalid, NotFound, Resolution, Version, WrongThread
from crow_plugins.store import (
    ChangedMeanwhile,
    NestedTransaction,
    StoreUnavailable,
    TransactionFailed,
    WriteTransaction,
    live_dots,
    versions,
)
from crow_plugins.store.connections import CACHE_KIB, PAGE_BYTES
from crow_plugins.store.synced import UnknownTable
from tests.replicator.full_disk import small_disk
from tests.store.world import GRACKLE, NOW, ROW, SWAN, World, entry_of, foreign, open_store


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = open_store(tmp_path / "crow.db")
    yield world
    world.store.close()


@pytest.fixture
def other(tmp_path: Path) -> Iterator[World]:
    world = open_store(tmp_path / "other.db", instance_id=SWAN)
    yield world
    world.store.close()


def test_a_write_carries_its_version_and_the_full_row(world: World) -> None:
    change = world.write("tax notes")
    assert change is not None
    assert change.data == {"text": "tax notes", "size": None, "tags": [], "updated_at": 0}
    assert change.version.writer.startswith(GRACKLE + ".")
    assert change.version.lamport == 1
    assert world.rows("SELECT lamport_ts FROM things") == [(1,)]


def test_a_rollback_that_fails_does_not_hide_why_it_came_to_that(world: World) -> None:
    def refuse_rollback(operation: int, what: str | None, *_: str | None) -> int:
        is_rollback = operation == apsw.SQLITE_TRANSACTION and what == "ROLLBACK"
        return apsw.SQLITE_DENY if is_rollback else apsw.SQLITE_OK

    with pytest.raises(Invalid, match="the first error"), world.store.transaction() as transaction:
        transaction.db.connection().authorizer = refuse_rollback
        transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'half done')", (ROW,))
        raise Invalid("the first error")
    assert world.rows("SELECT text FROM things") == []
    assert world.write("all is well again") is not None


THING: dict[str, object] = {"text": "tax notes", "size": None, "tags": ["tax"], "updated_at": 7}


def test_rows_that_are_inserted_are_written_and_told_of_like_any_other(world: World, other: World) -> None:
    ids = [ROW, ROW.replace("a", "b")]
    with world.store.transaction() as transaction:
        changes = transaction.insert("thing_insert", "things", dict.fromkeys(ids, THING), by="import")
    assert world.listener.changes == changes
    assert [(change.row_id, change.version.lamport, change.by) for change in changes] == [
        (ids[0], 1, "import"),
        (ids[1], 2, "import"),
    ]
    stored = "tax notes", None, '["tax"]', 7
    assert world.rows("SELECT id, lamport_ts, text, size, tags, updated_at FROM things ORDER BY id") == [
        (ids[0], 1, *stored),
        (ids[1], 2, *stored),
    ]
    with other.store.transaction() as transaction:  # row by row, with the row read back
        for row_id in ids:
            transaction.db.execute_sql(
                "INSERT INTO things (id, text, tags, updated_at) VALUES (?, ?, ?, ?)",
                (row_id, "tax notes", '["tax"]', 7),
            )
            transaction.record("thing_insert", "things", row_id, by="import")
    told = [[(each.data, each.vv, each.open, each.by) for each in one.listener.changes] for one in (world, other)]
    kept = [one.rows("SELECT row_id, digest FROM row_versions ORDER BY row_id") for one in (world, other)]
    assert told[0] == told[1]
    assert kept[0] == kept[1]


def test_a_deleted_row_that_is_inserted_again_follows_its_delete(world: World) -> None:
    world.write("before")
    world.delete()
    with world.store.transaction() as transaction:
        [change] = transaction.insert("thing_insert", "things", {ROW: THING})
    assert (change.vv, change.open, change.data["updated_at"]) == ({change.version.writer: 2}, (), NOW)
    assert world.rows("SELECT text, lamport_ts, updated_at FROM things") == [("tax notes", 3, NOW)]


def test_rows_that_are_inserted_fit_are_new_and_come_all_or_none(world: World) -> None:
    def refused(match: str, rows: dict[str, dict[str, object]]) -> None:
        with pytest.raises(Invalid, match=match), world.store.transaction() as transaction:
            transaction.insert("thing_insert", "things", rows)

    refused("longer than 1000 bytes", {ROW: THING, "another": {**THING, "text": "x" * 1001}})
    refused("exactly the columns", {ROW: {"text": "tax notes"}})
    assert (world.text(), world.rows("SELECT * FROM row_versions")) == (None, [])
    world.write("mine")
    refused("is in things already", {ROW: THING})
    assert (world.text(), world.lamport()) == ("mine", 1)


def test_lamports_grow_by_one_a_write(world: World) -> None:
    lamports = [change.version.lamport for text in "abc" if (change := world.write(text))]
    assert lamports == [1, 2, 3]


def test_a_write_that_changes_nothing_is_no_change(world: World) -> None:
    world.write("same")
    assert world.write("same") is None
    assert world.lamport() == 1
    assert len(world.listener.changes) == 1


def test_bookkeeping_columns_are_stamped_by_the_door(world: World) -> None:
    world.write("one")
    world.write("two")
    assert world.rows("SELECT updated_at FROM things") == [(NOW,)]


def test_raising_in_on_local_write_undoes_the_row_its_version_and_the_clock(world: World) -> None:
    world.write("kept")
    world.listener.fail = RuntimeError("a plugin says no")
    with pytest.raises(RuntimeError, match="says no"):
        world.write("lost")
    world.listener.fail = None
    assert world.text() == "kept"
    assert world.lamport() == 1
    change = world.write("next")
    assert change is not None
    assert change.version.lamport == 2


def test_raising_in_the_callers_block_undoes_everything(world: World) -> None:
    with pytest.raises(ZeroDivisionError), world.store.transaction() as transaction:
        transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'gone')", (ROW,))
        transaction.record("thing_insert", "things", ROW)
        _ = 1 / 0
    assert world.text() is None
    assert world.rows("SELECT * FROM row_versions") == []


def test_a_refused_write_cannot_be_caught_and_committed(world: World) -> None:
    world.listener.fail = RuntimeError("no")
    with pytest.raises(TransactionFailed, match="let the error through"), world.store.transaction() as transaction:
        transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'sneaked in')", (ROW,))
        with pytest.raises(RuntimeError):
            transaction.record("thing_insert", "things", ROW)
    assert world.text() is None


def test_what_runs_after_the_commit_cannot_harm_the_write_nor_what_runs_later(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ran: list[str] = []

    def fail() -> None:
        raise OSError("nobody listens")

    with world.store.transaction() as transaction:
        transaction.after_commit(fail)
        transaction.after_commit(lambda: ran.append("later"))
        transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'x')", (ROW,))
        transaction.record("thing_insert", "things", ROW)
    assert (world.text(), ran) == ("x", ["later"])
    assert "nobody listens" in caplog.text


def test_before_commit_runs_once_a_key_inside_and_after_commit_runs_after(world: World) -> None:
    order: list[str] = []
    with world.store.transaction() as transaction:
        transaction.after_commit(lambda: order.append(f"after {world.text()}"))
        for _ in range(2):
            transaction.before_commit("feed", lambda: order.append("before"))
        transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'x')", (ROW,))
        transaction.record("thing_insert", "things", ROW)
    assert order == ["before", "after x"]


def test_after_commit_never_runs_when_the_commit_does_not_happen(world: World) -> None:
    ran: list[str] = []
    with pytest.raises(ZeroDivisionError), world.store.transaction() as transaction:
        transaction.after_commit(lambda: ran.append("after"))
        _ = 1 / 0
    assert ran == []


def test_raising_before_commit_rolls_back(world: World) -> None:
    def fail() -> None:
        raise OSError("the feed is full")

    world.listener.on_write = lambda change, transaction: transaction.before_commit("feed", fail)
    with pytest.raises(OSError, match="feed is full"):
        world.write("lost")
    assert world.text() is None


def test_a_read_inside_a_transaction_sees_what_it_wrote(world: World) -> None:
    with world.store.transaction() as transaction:
        transaction.db.execute_sql("INSERT INTO things (id, text) VALUES (?, 'mine')", (ROW,))
        assert world.text() == "mine"
        transaction.record("thing_insert", "things", ROW)


def test_a_reader_cannot_write(world: World) -> None:
    with pytest.raises(Exception, match="readonly"), world.store.read() as db:
        db.execute_sql("DELETE FROM things")


def test_what_is_closed_is_neither_read_nor_written(world: World) -> None:
    world.write("before")
    world.store.close()
    with pytest.raises(StoreUnavailable, match="it is closed"):
        world.write("after")
    with pytest.raises(StoreUnavailable, match="it is closed"):
        world.text()


def damage(file: Path, first_page: int) -> None:
    """Overwrite every page from this one on."""
    content = file.read_bytes()
    intact = content[: (first_page - 1) * PAGE_BYTES]
    file.write_bytes(intact + b"\xff" * (len(content) - len(intact)))


def test_a_write_that_a_full_disk_ended_is_not_taken_for_a_commit_whoever_overlooks_the_error(world: World) -> None:
    world.write("before")
    world.fill()
    with pytest.raises(StoreUnavailable, match="nothing was written"), world.store.transaction() as transaction:
        transaction.db.execute_sql("UPDATE things SET text = 'gone'")
        with contextlib.suppress(peewee.OperationalError):
            transaction.db.execute_sql("INSERT INTO things (id, text) VALUES ('more', ?)", ("x" * 100_000,))
    assert world.rows("SELECT text FROM things") == [("before",)]
    world.fill(room=True)
    world.write("after")
    assert world.text() == "after"


FULL = "the disk is full or failing, so nothing was written"


def written_on(db: peewee.Database) -> None:
    """What a plugin might do that took no notice of the error."""
    db.execute_sql("UPDATE things SET text = 'half'")


def written_on_in_a_savepoint(db: peewee.Database) -> None:
    with db.atomic():
        db.execute_sql("UPDATE things SET text = 'half'")


def written_on_past_peewee(db: peewee.Database) -> None:
    db.connection().execute("UPDATE things SET text = 'half'")


@pytest.mark.parametrize("write_on", [written_on, written_on_in_a_savepoint, written_on_past_peewee])
def test_what_is_written_after_an_overlooked_full_disk_is_refused_and_not_committed_alone(
    tmp_path: Path, write_on: Callable[[peewee.Database], None]
) -> None:
    with small_disk("full-door") as disk:
        world = open_store(tmp_path / "crow.db")
        world.write("before")
        with pytest.raises(StoreUnavailable, match=FULL), world.store.transaction() as transaction:
            transaction.db.execute_sql("UPDATE things SET text = 'gone'")
            disk.full = tmp_path
            with contextlib.suppress(peewee.OperationalError):
                transaction.db.execute_sql("UPDATE things SET private = zeroblob(?)", (2 * CACHE_KIB * 1024,))
            disk.full = None  # so that what comes now could be written
            for _ in range(2):
                with pytest.raises(StoreUnavailable, match=FULL):
                    write_on(transaction.db)
        assert disk.refused > 0
        assert world.rows("SELECT text, private FROM things") == [("before", "stays")]
        world.write("after")
        assert world.text() == "after"
        world.store.close()


def test_a_damaged_file_is_one_sentence_when_it_is_opened_and_when_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "crow.db"
    world = open_store(file)
    for number in range(60):
        world.write("x" * 900, f"row {number}")
    world.store.close()
    world = open_store(file)
    damage(file, first_page=15)
    with pytest.raises(StoreUnavailable, match=r"crow\.db cannot be used: .*malformed"):
        world.rows("SELECT sum(length(text)) FROM things")
    world.store.close()
    damage(file, first_page=2)
    with pytest.raises(StoreUnavailable, match="malformed"):
        open_store(file)


def test_a_transaction_inside_another_is_refused(world: World) -> None:
    with world.store.transaction(), pytest.raises(NestedTransaction, match="hand it on"), world.store.transaction():
        pass


def test_the_event_loop_may_neither_read_nor_write(world: World) -> None:
    async def misuse() -> None:
        with pytest.raises(WrongThread), world.store.transaction():
            pass
        with pytest.raises(WrongThread), world.store.read():
            pass

    asyncio.run(misuse())


def test_the_event_loop_may_look_one_row_up_and_sees_what_was_committed_last(world: World) -> None:
    text = "SELECT text FROM things WHERE id = ?"

    async def look() -> object:
        return world.store.glance(text, (ROW,))

    assert asyncio.run(look()) is None
    for said in ("one", "other"):
        world.write(said)
        assert asyncio.run(look()) == (said,)
    world.store.close()
    with pytest.raises(StoreUnavailable, match="it is closed"):
        asyncio.run(look())


def test_an_undeclared_table_or_type_or_an_absent_row_is_refused(world: World) -> None:
    with pytest.raises(UnknownTable, match="nothings"), world.store.transaction() as transaction:
        transaction.record("thing_insert", "nothings", ROW)
    with pytest.raises(Invalid, match="no change type memory_insert"), world.store.transaction() as transaction:
        transaction.record("memory_insert", "things", ROW)
    with pytest.raises(NotFound, match=ROW), world.store.transaction() as transaction:
        transaction.record("thing_insert", "things", ROW)


def test_a_row_that_breaks_its_declaration_is_not_written(world: World) -> None:
    with pytest.raises(Invalid, match=r"text of row .* longer than 1000 bytes"):
        world.write("x" * 1001)
    assert world.text() is None
    assert world.write("x" * 1000) is not None


def test_a_row_that_is_written_twice_in_one_transaction_fits_each_time_and_carries_the_later_version(
    world: World,
) -> None:
    def write(transaction: WriteTransaction, text: str) -> Change | None:
        transaction.db.execute_sql(
            "INSERT INTO things (id, text) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET text = excluded.text",
            (ROW, text),
        )
        return transaction.record("thing_update", "things", ROW)

    with pytest.raises(Invalid, match=r"text of row .* longer than 1000 bytes"), world.store.transaction() as refused:
        write(refused, "short")
        write(refused, "x" * 1001)
    assert world.text() is None
    with world.store.transaction() as transaction:
        first, second = write(transaction, "one"), write(transaction, "two")
    assert first is not None
    assert second is not None
    assert (first.data["text"], second.data["text"]) == ("one", "two")
    assert second.vv == {first.version.writer: first.version.lamport}
    assert world.rows("SELECT text, lamport_ts, updated_at FROM things") == [("two", second.version.lamport, NOW)]
    with world.store.read() as db:
        assert [Version(*live.dot) for live in versions.load(db, "things", ROW).state.live] == [second.version]
    assert world.store.rows_in_conflict() == []


def test_a_delete_keeps_the_last_image_and_the_row_can_come_back(world: World) -> None:
    world.write("remember me")
    change = world.delete()
    assert change is not None
    assert (change.deleted, change.data["text"]) == (True, "remember me")
    assert world.text() is None
    with world.store.transaction() as transaction:
        image = transaction.last_image("things", ROW)
    assert image is not None
    assert image["text"] == "remember me"
    assert world.write(str(image["text"])) is not None
    assert world.text() == "remember me"


def test_a_row_that_is_there_has_no_last_image(world: World) -> None:
    world.write("here")
    with world.store.transaction() as transaction:
        assert transaction.last_image("things", ROW) is None
        assert transaction.last_image("things", "unknown") is None


def test_an_entry_is_applied_and_the_clock_moves_past_it(world: World) -> None:
    world.apply(foreign("from the swan", 41))
    assert world.text() == "from the swan"
    assert world.rows("SELECT lamport_ts, private FROM things") == [(41, "stays")]
    assert world.listener.names() == ["change_applied"]
    change = world.write("seen")
    assert change is not None
    assert change.version.lamport > 41


def test_applying_twice_changes_nothing(world: World) -> None:
    world.apply(foreign("once", 3))
    before = world.rows("SELECT * FROM row_versions")
    world.apply(foreign("once", 3))
    assert world.rows("SELECT * FROM row_versions") == before


def test_a_write_that_had_seen_the_other_replaces_it_without_a_conflict(world: World, other: World) -> None:
    first = other.write("draft")
    assert first is not None
    world.apply(entry_of(first))
    second = world.write("final")
    assert second is not None
    other.apply(entry_of(second))
    assert (world.text(), other.text()) == ("final", "final")
    assert other.rows("SELECT * FROM sync_conflicts") == []


def conflicting(world: World, other: World) -> None:
    mine, theirs = world.write("mine"), other.write("theirs")
    assert mine is not None
    assert theirs is not None
    world.apply(entry_of(theirs))
    other.apply(entry_of(mine))


def test_writes_that_had_not_seen_each_other_are_one_conflict_with_one_id_on_both(world: World, other: World) -> None:
    conflicting(world, other)
    select = "SELECT id, table_name, row_id, local_data, remote_data, op FROM sync_conflicts WHERE resolved = 0"
    assert len(world.rows(select)) == 1
    assert world.rows(select) == other.rows(select)
    assert world.text() == other.text()
    assert world.listener.names() == ["change_applied", "conflict_detected"]


def test_a_resolution_travels_and_closes_the_conflict_everywhere(world: World, other: World) -> None:
    conflicting(world, other)
    live = [version for _, versions in live_versions(world).items() for version in versions]
    settled = world.write("both", resolves=live)
    assert settled is not None
    other.apply(entry_of(settled))
    for each in (world, other):
        assert each.text() == "both"
        assert each.rows("SELECT resolved FROM sync_conflicts") == [(1,)]


@pytest.mark.parametrize("merged", [{"text": 5}, {"text": None}, {"size": "large"}, {"nothing": 1}], ids=str)
def test_a_merge_that_is_no_row_of_the_table_is_refused_and_the_conflict_stays(
    world: World, other: World, merged: dict[str, object]
) -> None:
    conflicting(world, other)
    before = world.rows("SELECT * FROM things"), world.rows("SELECT * FROM sync_conflicts")
    with pytest.raises(Invalid), world.store.transaction() as transaction:
        [conflict] = transaction.open_conflicts("things", ROW)
        transaction.settle(conflict, Resolution("merge", merged), by="person")
    assert (world.rows("SELECT * FROM things"), world.rows("SELECT * FROM sync_conflicts")) == before


def test_a_resolution_that_names_what_is_not_live_is_refused(world: World, other: World) -> None:
    conflicting(world, other)
    with pytest.raises(ChangedMeanwhile, match="look at it again"):
        world.write("late", resolves=[Version(f"{SWAN}.ffffffffffff", 9)])
    assert world.rows("SELECT resolved FROM sync_conflicts") == [(0,)]


def test_a_resolution_that_names_the_version_shown_and_one_that_is_not_live_is_refused(
    world: World, other: World
) -> None:
    conflicting(world, other)
    seen = live_versions(world)[ROW]
    with pytest.raises(ChangedMeanwhile):
        world.write("blind", resolves=[*seen, Version(seen[0].writer, 1_000)])


def test_a_savepoint_that_is_undone_takes_the_clock_back(world: World) -> None:
    before = world.write("before")
    assert before is not None
    with world.store.transaction() as transaction:
        with pytest.raises(RuntimeError), transaction.savepoint():
            transaction.apply(foreign("from elsewhere", 99))
            raise RuntimeError
        transaction.db.execute_sql("UPDATE things SET text = 'after'")
        after = transaction.record("thing_update", "things", ROW)
    assert after is not None
    assert after.version.lamport == before.version.lamport + 1


def test_a_resolution_that_had_not_seen_the_version_shown_now_is_refused(world: World, other: World) -> None:
    conflicting(world, other)
    seen = live_versions(world)[ROW]
    world.apply(foreign("a third one", 99, vv={}))
    assert world.text() == "a third one"
    with pytest.raises(ChangedMeanwhile):
        world.write("blind", resolves=seen)
    assert world.text() == "a third one"


def test_a_row_written_alike_on_two_machines_is_no_conflict_and_can_be_deleted(world: World, other: World) -> None:
    mine, theirs = world.write("alike"), other.write("alike")
    assert mine is not None
    assert theirs is not None
    world.apply(entry_of(theirs))
    deleted = world.delete()
    assert deleted is not None
    other.apply(entry_of(mine), entry_of(deleted))
    assert (world.text(), other.text()) == (None, None)
    assert world.rows("SELECT * FROM sync_conflicts") == []


def test_a_row_in_conflict_is_not_deleted_before_it_is_settled(world: World, other: World) -> None:
    conflicting(world, other)
    with pytest.raises(ConflictOpen):
        world.delete()
    assert world.text() is not None


def test_an_ordinary_edit_in_conflict_leaves_the_other_version_open(world: World, other: World) -> None:
    conflicting(world, other)
    world.write("mine again")
    assert world.rows("SELECT count(*) FROM sync_conflicts WHERE resolved = 0") == [(1,)]


def test_a_delete_beside_an_update_shows_the_update_and_says_so(world: World, other: World) -> None:
    first = world.write("shared")
    assert first is not None
    other.apply(entry_of(first))
    deleted, updated = world.delete(), other.write("still needed")
    assert deleted is not None
    assert updated is not None
    world.apply(entry_of(updated))
    other.apply(entry_of(deleted))
    for each in (world, other):
        assert each.text() == "still needed"
        assert each.rows("SELECT op FROM sync_conflicts WHERE resolved = 0") == [("delete",)]


def test_an_entry_that_breaks_a_rule_changes_nothing(world: World) -> None:
    world.write("safe")
    before = world.rows("SELECT * FROM row_versions"), world.lamport()
    with pytest.raises(Exception, match="lamport"):
        world.apply(foreign("evil", 2, vv={f"{SWAN}.000000000000": 7}))
    with pytest.raises(Invalid):
        world.apply(foreign("x" * 1001, 9))
    assert (world.rows("SELECT * FROM row_versions"), world.lamport()) == before


def live_versions(world: World) -> dict[str, list[Version]]:
    found: dict[str, list[Version]] = {}
    with world.store.read() as db:
        for _, row_id, dot in live_dots(db):
            found.setdefault(row_id, []).append(Version(*dot))
    return found
