"""The write door: the only way anything gets into the database.

A write is one transaction: the row, its version, its conflicts, the clock, and whatever the
plugins add in `on_local_write` and `before_commit`. It commits as a whole or not at all; what must leave
the process leaves after the commit. The door knows synced tables by their declaration only.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple, Protocol

import peewee

from crow_hooks import Change, Conflict, ConflictOpen, CrowError, Data, Entry, Invalid, Resolution, Version
from crow_plugins import causality
from crow_plugins.callers import refuse_writing
from crow_plugins.causality import Arrival, Dot, RowState
from crow_plugins.store import arriving, conflicts, versions
from crow_plugins.store.arriving import Touched
from crow_plugins.store.clock import Clock, Machine
from crow_plugins.store.connections import Connections, refuse_event_loop
from crow_plugins.store.synced import Shape, UnknownTable

log = logging.getLogger(__name__)


class NestedTransaction(CrowError):
    """A transaction was opened inside another one of the same thread."""

    code = "nested_transaction"

    def __init__(self) -> None:
        super().__init__("a transaction is open on this thread already; hand it on instead of opening another")


class TransactionFailed(CrowError):
    """A write of this transaction was refused, and the writer went on as if it had not been."""

    code = "transaction_failed"

    def __init__(self) -> None:
        super().__init__(
            "a write in this transaction failed, so none of it was kept; let the error through, or write again"
        )


class ChangedMeanwhile(CrowError):
    """A resolution names other live versions than the row has now."""

    code = "changed_meanwhile"

    def __init__(self, table: str, row_id: str) -> None:
        super().__init__(f"row {row_id} of {table} changed meanwhile; look at it again, then resolve it")


class Listener(Protocol):
    """What the door tells its host, inside the transaction and after it."""

    def local_write(self, change: Change, transaction: WriteTransaction) -> None: ...

    def shows(self, table: str) -> bool:
        """Whether a table's owner may write its rows itself."""

    def show(self, entry: Entry, transaction: WriteTransaction) -> bool:
        """Let the table's owner write the version; False to have it written the default way."""

    def notify(self, name: str, **arguments: object) -> None: ...


class Door:
    """Opens write transactions on one database file, one at a time in this process."""

    def __init__(
        self,
        connections: Connections,
        shapes: Mapping[str, Shape],
        listener: Listener,
        *,
        instance_id: str,
        now: Callable[[], int],
        machine: Callable[[], Machine],
    ) -> None:
        self.shapes, self.listener, self.instance_id = shapes, listener, instance_id
        self._connections, self._now, self._machine = connections, now, machine
        self._lock = threading.Lock()
        self._writing = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[WriteTransaction]:
        refuse_event_loop()
        refuse_writing()
        if self.current() is not None:
            raise NestedTransaction
        with self._lock, self._connections.write() as db:
            transaction = WriteTransaction(self, db, self._now(), self._machine)
            self._writing.transaction = transaction
            try:
                yield transaction
                transaction.finish()
            finally:
                self._writing.transaction = None
        transaction.committed()

    def current(self) -> WriteTransaction | None:
        """The transaction that this thread is in."""
        return getattr(self._writing, "transaction", None)

    def check(self, entry: Entry) -> None:
        """Raise the `CrowError` that says which rule an entry breaks."""
        shape = self.shape(entry.type, entry.table)
        causality.check(arriving.arrival_of(entry))
        shape.check(entry.row_id, entry.data)

    def shape(self, type: str, table: str) -> Shape:
        shape = self.shapes.get(table)
        if shape is None:
            raise UnknownTable(table)
        if type not in shape.table.change_types:
            raise Invalid(f"{table} has no change type {type}; it has {', '.join(shape.table.change_types)}")
        return shape


class Added(NamedTuple):
    """A row that is written for the first time, or again after a delete, and what is known of it before and after."""

    row_id: str
    image: Data
    before: RowState
    after: RowState
    arrival: Arrival


class WriteTransaction:
    """One open write transaction; see `crow_hooks.Transaction` for what plugins may rely on."""

    def __init__(self, door: Door, db: peewee.Database, now: int, machine: Callable[[], Machine]) -> None:
        self.db, self.now = db, now
        self._door, self._machine = door, machine
        self._clock: Clock | None = None
        self._before: dict[object, Callable[[], None]] = {}
        self._after: list[Callable[[], None]] = []
        self._failed = False

    @property
    def clock(self) -> Clock:
        if self._clock is None:
            self._clock = Clock(self.db, self._door.instance_id, self._machine())
        return self._clock

    def before_commit(self, key: object, run: Callable[[], None]) -> None:
        self._before.setdefault(key, run)

    def after_commit(self, run: Callable[[], None]) -> None:
        self._after.append(run)

    def record(
        self, type: str, table: str, row_id: str, *, resolves: Iterable[Version] = (), by: str = "assistant"
    ) -> Change | None:
        with self._all_or_nothing():
            return self._record(type, table, row_id, frozenset(resolves), "merge", by)

    def insert(self, type: str, table: str, rows: Mapping[str, Data], *, by: str = "assistant") -> list[Change]:
        with self._all_or_nothing():
            return self._insert(type, table, rows, by)

    def settle(self, conflict: Conflict, resolution: Resolution, *, by: str) -> Change | None:
        """Write how a conflict was settled; it covers the two versions and leaves any other open.

        Raises `ChangedMeanwhile` when the conflict is no longer open, `Invalid` for a merge that does not fit.
        """
        shape = self._door.shapes[conflict.table]
        if conflict.id not in {each.id for each in self.open_conflicts(conflict.table, conflict.row_id)}:
            raise ChangedMeanwhile(conflict.table, conflict.row_id)
        deleted, data = conflicts.outcome(conflict, resolution, shape)
        with self._all_or_nothing():
            if not deleted:
                shape.check(conflict.row_id, data)
                shape.write(self.db, conflict.row_id, conflict.local_version.lamport, data)
            seen = frozenset((conflict.local_version, conflict.remote_version))
            type = shape.delete_type if deleted else shape.update_type
            return self._record(type, conflict.table, conflict.row_id, seen, resolution.kind, by)

    def open_conflicts(self, table: str, row_id: str) -> list[Conflict]:
        """The conflicts of a row as its versions have them now."""
        shape = self._door.shapes[table]
        return conflicts.open_now(shape, row_id, versions.load(self.db, table, row_id).state)

    def _record(
        self, type: str, table: str, row_id: str, resolves: frozenset[Version], resolution: str, by: str
    ) -> Change | None:
        shape, deleted = self._door.shape(type, table), type.endswith("_delete")
        known = versions.load(self.db, table, row_id)
        if not known.state.live and not deleted and not resolves:
            return self._record_new(shape, type, row_id, known.state, by)
        image = shape.image(self.db, row_id)
        settled = frozenset(Dot(version.writer, version.lamport) for version in resolves)
        self._refuse_what_was_not_seen(shape, row_id, known.state, settled, deleted)
        digest = None if deleted else shape.digest(image)
        if not settled and digest is not None and digest == known.digest:
            return None
        if known.state.live:
            image |= dict.fromkeys(shape.bookkeeping, self.now)
        shape.check(row_id, image)
        dot = self.clock.tick()
        state, arrival = causality.write(
            known.state, dot, deleted=deleted, data=image, resolves=settled, bookkeeping=shape.bookkeeping
        )
        if deleted:
            self.db.execute_sql(shape.delete, (row_id,))
            self._show_current(shape, row_id, known.state, state)
            digest = _digest(shape, state)
        else:
            shape.restamp(self.db, row_id, dot.lamport, image)
        self._keep(shape, row_id, known.state, state, digest, resolution if settled else "superseded", by)
        return self._written(type, shape, row_id, arrival, by)

    def _record_new(self, shape: Shape, type: str, row_id: str, known: RowState, by: str) -> Change:
        """A row that nothing is shown of yet: it is stamped and read back at once, and keeps what it came with.

        So an import keeps its times, and no index over them is written twice.
        """
        dot = self.clock.tick()
        image = shape.stamped(self.db, row_id, dot.lamport)
        shape.check(row_id, image)
        state, arrival = causality.write(known, dot, deleted=False, data=image, bookkeeping=shape.bookkeeping)
        self._keep(shape, row_id, known, state, shape.digest(image), "superseded", by)
        return self._written(type, shape, row_id, arrival, by)

    def _insert(self, type: str, table: str, rows: Mapping[str, Data], by: str) -> list[Change]:
        """Nothing is read back: what is stored is what was given, once it fits."""
        shape = self._door.shape(type, table)
        known = versions.load_all(self.db, [(table, row_id) for row_id in rows])
        added = [
            self._added(shape, row_id, known.get((table, row_id), versions.UNKNOWN).state, data)
            for row_id, data in rows.items()
        ]
        shape.insert_all(self.db, [(row.row_id, row.arrival.dot.lamport, row.image) for row in added])
        versions.save_all(self.db, [(table, row.row_id, row.after, shape.digest(row.image)) for row in added])
        for row in added:
            self._reconcile(shape, row.row_id, row.before, row.after, "superseded", by)
        return [self._written(type, shape, row.row_id, row.arrival, by) for row in added]

    def _added(self, shape: Shape, row_id: str, known: RowState, data: Data) -> Added:
        shown = causality.current(known)
        if shown is not None and not shown.deleted:
            raise Invalid(f"row {row_id} is in {shape.table.name} already; update it, or take another id")
        shape.check(row_id, data)
        image = shape.stored(data)
        if known.live:
            image |= dict.fromkeys(shape.bookkeeping, self.now)
        state, arrival = causality.write(
            known, self.clock.tick(), deleted=False, data=image, bookkeeping=shape.bookkeeping
        )
        return Added(row_id, image, known, state, arrival)

    def _written(self, type: str, shape: Shape, row_id: str, arrival: Arrival, by: str) -> Change:
        change = _change(type, shape.table.name, row_id, arrival, self.now, by)
        self._door.listener.local_write(change, self)
        return change

    def apply(self, entry: Entry) -> None:
        """Join an entry of another instance, which has been verified; raises `CrowError` if it breaks a rule."""
        self.check(entry)
        self.join(entry)

    def check(self, entry: Entry) -> None:
        """Raise the `CrowError` that says which rule an entry breaks; nothing is written."""
        self._door.check(entry)

    @property
    def rules(self) -> Callable[[Entry], None]:
        """`check` for before and after this transaction: no rule looks at what stands in the database."""
        return self._door.check

    def join(self, *entries: Entry) -> None:
        """Join entries that `check` has let pass, in this order; a row is written as it is after the last of them."""
        touched = arriving.joined(self, entries)
        self._show_all(touched)
        versions.save_all(
            self.db, ((row.shape.table.name, row.row_id, row.after, _digest(row.shape, row.after)) for row in touched)
        )
        self.after_commit(lambda: self._tell_applied(entries))
        for row in touched:
            self._reconcile(row.shape, row.row_id, row.before, row.after, "superseded", row.by)

    def rebuild(self, table: str, row_id: str, entries: Iterable[Entry], dropped: Collection[Version]) -> None:
        """Make a row, and what is known of it, what these entries alone make of it; none leaves nothing of it.

        For a row that entries had touched which count no more: `dropped` are their names. The clock does not go back.
        """
        shape = self._door.shapes[table]
        before = self._state_with_data(shape, row_id)
        after = causality.EMPTY
        for entry in entries:
            after = causality.join(after, arriving.arrival_of(entry))
        conflicts.forget(self.db, table, row_id, dropped, before.vector)
        if causality.current(after) is None:
            self.db.execute_sql(shape.delete, (row_id,))
        self._show_current(shape, row_id, causality.EMPTY, after)  # what was shown may have had the same name
        if after.vector:
            self._keep(shape, row_id, before, after, _digest(shape, after), "superseded", "revocation")
        else:
            versions.forget(self.db, table, row_id)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """All of the block or nothing of it; an error undoes the block alone, and is raised on."""
        clock, before, after, failed = self.clock, dict(self._before), len(self._after), self._failed
        lamport, entered = clock.lamport, clock.entered
        try:
            with self.db.atomic():
                yield
        except BaseException:
            clock.lamport, clock.entered, self._before, self._failed = lamport, entered, before, failed
            del self._after[after:]
            raise

    def known(self, table: str, row_id: str) -> RowState:
        """What is known of a row, with the data of every version that is here."""
        return self._state_with_data(self._door.shapes[table], row_id)

    def shape(self, table: str) -> Shape | None:
        """What a synced table declares; None for one that no plugin of this installation has."""
        return self._door.shapes.get(table)

    def last_image(self, table: str, row_id: str) -> Data | None:
        """What a deleted row held, if that is still kept."""
        known = versions.load(self.db, table, row_id)
        shown = causality.current(known.state)
        return shown.data if shown is not None and shown.deleted else None

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """A row whose write was refused may be there already: nobody can catch that and commit."""
        try:
            yield
        except BaseException:
            self._failed = True
            raise

    def finish(self) -> None:
        if self._failed:
            raise TransactionFailed
        while self._before:
            self._before.pop(next(iter(self._before)))()
        if self._clock is not None:
            self._clock.save()

    def committed(self) -> None:
        for run in self._after:
            try:
                run()
            except Exception:  # other people's code, after the fact: the write stands, and so do the others
                log.exception("after commit failed")

    def _refuse_what_was_not_seen(
        self, shape: Shape, row_id: str, state: RowState, settled: frozenset[Dot], deleted: bool
    ) -> None:
        """A resolution names live versions, the shown one among them; a delete settles no conflict by the way."""
        shown = causality.current(state)
        live = {version.dot for version in state.live}
        if settled and (settled - live or shown is None or shown.dot not in settled):
            raise ChangedMeanwhile(shape.table.name, row_id)
        if deleted and not settled and causality.open_conflicts(shape.table.name, row_id, state, shape.bookkeeping):
            raise ConflictOpen(shape.table.name, row_id)

    def _state_with_data(self, shape: Shape, row_id: str) -> RowState:
        return versions.with_data(self.db, shape, row_id, versions.load(self.db, shape.table.name, row_id))

    def _show_all(self, touched: Iterable[Touched]) -> None:
        """Rows of one table that nobody writes himself are written together."""
        waiting: dict[str, tuple[Shape, list[tuple[str, int, Data]]]] = {}
        shows = cache(self._door.listener.shows)
        for row in touched:
            table, shown = row.shape.table.name, _shown_anew(row.before, row.after)
            if shown is None or shown.deleted or shows(table):
                self._write_waiting(waiting)
                self._show_current(row.shape, row.row_id, row.before, row.after)
                continue
            if table not in waiting:
                waiting[table] = row.shape, []
            waiting[table][1].append((row.row_id, shown.dot.lamport, shown.data or {}))
        self._write_waiting(waiting)

    def _write_waiting(self, waiting: dict[str, tuple[Shape, list[tuple[str, int, Data]]]]) -> None:
        for shape, rows in waiting.values():
            shape.write_all(self.db, rows)
        waiting.clear()

    def _show_current(self, shape: Shape, row_id: str, before: RowState, after: RowState) -> None:
        """After a delete, too, another live version may be the one to show."""
        shown = _shown_anew(before, after)
        if shown is None:
            return
        if shown.deleted:
            self.db.execute_sql(shape.delete, (row_id,))
            return
        entry = _entry_of(shape, row_id, shown, self.now)
        if not self._door.listener.show(entry, self):
            shape.write(self.db, row_id, shown.dot.lamport, shown.data or {})

    def _keep(
        self,
        shape: Shape,
        row_id: str,
        before: RowState,
        after: RowState,
        digest: bytes | None,
        resolution: str,
        by: str,
    ) -> None:
        versions.save(self.db, shape.table.name, row_id, after, digest)
        self._reconcile(shape, row_id, before, after, resolution, by)

    def _reconcile(
        self, shape: Shape, row_id: str, before: RowState, after: RowState, resolution: str, by: str
    ) -> None:
        """The conflicts of a row, as its versions now have them."""
        if len(before.live) < 2 and len(after.live) < 2:
            return
        opened, closed = conflicts.reconcile(self.db, shape, row_id, after, now=self.now, resolution=resolution, by=by)
        for conflict in opened:
            self._tell("conflict_detected", conflict=conflict)
        for conflict_id in closed:
            self._tell("conflict_resolved", conflict_id=conflict_id, resolution=resolution)

    def _tell_applied(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._door.listener.notify("change_applied", entry=entry)

    def _tell(self, name: str, **arguments: object) -> None:
        self.after_commit(lambda: self._door.listener.notify(name, **arguments))


def _shown_anew(before: RowState, after: RowState) -> causality.Version | None:
    """The version to show, if it is another one than before."""
    was, shown = causality.current(before), causality.current(after)
    return None if shown is None or (was is not None and was.dot == shown.dot) else shown


def _digest(shape: Shape, state: RowState) -> bytes | None:
    """Of the version shown; None for a deleted row."""
    shown = causality.current(state)
    return shape.digest(shown.data) if shown and shown.data is not None and not shown.deleted else None


def _change(type: str, table: str, row_id: str, arrival: Arrival, now: int, by: str) -> Change:
    return Change(
        type=type,
        table=table,
        row_id=row_id,
        data=arrival.data or {},
        version=Version(*arrival.dot),
        vv=arrival.vector,
        open=tuple(Version(*dot) for dot in sorted(arrival.open)),
        timestamp=now,
        deleted=arrival.deleted,
        by=by,
    )


def _entry_of(shape: Shape, row_id: str, version: causality.Version, now: int) -> Entry:
    """The version that is now current, as an entry for the table's owner."""
    return Entry(
        type=shape.update_type,
        table=shape.table.name,
        row_id=row_id,
        data=version.data or {},
        version=Version(*version.dot),
        vv={},
        open=(),
        timestamp=now,
        instance_id=causality.instance_of(version.dot.writer),
    )
