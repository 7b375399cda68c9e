"""Random histories of instances that write and exchange entries, and an oracle that knows what is true of them.

The oracle numbers every write and remembers, as bit sets of these numbers, which writes each instance was informed
of and which of them an informed write meant to overwrite. From that alone follows what is live, what is shown and
which conflicts are open. It knows no vector and no join, and it never takes a dot for the name of a write: a dot only
decides which of several live versions is shown.

How instances keep a row is the `Rules` they are played with: those under test, or some that must be caught.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from crow_hooks import Data
from crow_plugins import causality
from crow_plugins.causality import EMPTY, Arrival, Dot, RowState

BOOKKEEPING = ("number",)  # every image carries the number of its write, which makes no two images differ
TEXTS = "abc"  # few, so that instances often write the same
STEPS = (6, 30)
ROWS = (1, 1, 2)  # a second row shares the clock and nothing else

S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Write:
    """One write as it truly was. `informed` and `overwrites` are bit sets of numbers, of the same row."""

    number: int
    row: int
    dot: Dot
    deleted: bool
    text: str
    informed: int
    overwrites: int

    @property
    def content(self) -> str | None:
        return None if self.deleted else self.text


@dataclass(slots=True)
class Knowledge:
    """What has reached one instance of one row, as bit sets: writes it heard of, those overwritten, those here."""

    informed: int = 0
    overwritten: int = 0
    here: int = 0


@dataclass(frozen=True, slots=True)
class View:
    """What an instance can say of a row: the write shown, the live ones with their texts, those in conflict."""

    shown: int | None
    live: frozenset[tuple[int, bool, object]]
    waiting: frozenset[Dot]
    conflicts: frozenset[int]
    vector: Data


class Rules(Protocol[S, E]):
    """How instances keep a row (as an S) and tell each other of a write (by an E)."""

    new_epoch_after_restore: bool

    def empty(self) -> S: ...

    def write(self, state: S, dot: Dot, *, deleted: bool, data: Data, resolves: Collection[Dot]) -> tuple[S, E]: ...

    def join(self, state: S, entry: E) -> S: ...

    def view(self, state: S) -> View: ...

    def fingerprint(self, state: S) -> object:
        """What must be the same on every instance once all have everything."""


class Oracle:
    """All writes of a history, and what they make true for whoever knows of them."""

    def __init__(self) -> None:
        self.writes: list[Write] = []

    def wrote(
        self, knows: Knowledge, row: int, dot: Dot, *, deleted: bool, text: str, resolves: Collection[int]
    ) -> Write:
        """An instance that knew this much wrote: it overwrites all that it did not leave open."""
        left_open = 0
        shown = self.shown(knows)
        for other in self._live(knows):
            seen = knows.here >> other.number & 1
            if not seen or (shown and other.content != shown.content and other.number not in resolves):
                left_open |= 1 << other.number
        write = Write(len(self.writes), row, dot, deleted, text, knows.informed, overwrites=knows.informed & ~left_open)
        self.writes.append(write)
        self.received(knows, write)
        return write

    def received(self, knows: Knowledge, write: Write) -> None:
        knows.informed |= write.informed | 1 << write.number
        knows.overwritten |= write.overwrites
        knows.here |= 1 << write.number

    def shown(self, knows: Knowledge) -> Write | None:
        here = [write for write in self._live(knows) if knows.here >> write.number & 1]
        return max(here, key=lambda write: (not write.deleted, write.dot.lamport, write.dot.writer), default=None)

    def view(self, knows: Knowledge) -> View:
        live, shown = list(self._live(knows)), self.shown(knows)
        here = [write for write in live if knows.here >> write.number & 1]
        vector: dict[str, object] = {}
        for write in sorted(self._among(knows.informed), key=lambda write: write.dot.lamport):
            vector[write.dot.writer] = write.dot.lamport
        return View(
            shown=shown.number if shown else None,
            live=frozenset((write.number, write.deleted, write.text) for write in here),
            waiting=frozenset(write.dot for write in live if not knows.here >> write.number & 1),
            conflicts=frozenset(write.number for write in here if shown and write.content != shown.content),
            vector=vector,
        )

    def _live(self, knows: Knowledge) -> Iterator[Write]:
        return self._among(knows.informed & ~knows.overwritten)

    def _among(self, numbers: int) -> Iterator[Write]:
        while numbers:
            yield self.writes[(numbers & -numbers).bit_length() - 1]
            numbers &= numbers - 1


@dataclass(slots=True)
class Memory(Generic[S]):
    """All that one instance keeps, and a backup of it holds."""

    writer: str
    rows: list[S]
    knows: list[Knowledge]
    lamport: int = 0
    joined: set[int] = field(default_factory=set)
    parked: set[int] = field(default_factory=set)

    def copy(self) -> Memory[S]:
        knows = [Knowledge(each.informed, each.overwritten, each.here) for each in self.knows]
        return Memory(self.writer, list(self.rows), knows, self.lamport, set(self.joined), set(self.parked))


@dataclass(slots=True)
class Instance(Generic[S]):
    """One installation: its id, what it keeps now, and its last backup."""

    id: str
    memory: Memory[S]
    backup: Memory[S]
    since_backup: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a history: `faults` by kind, and what happened in it.

    A fault is `wrong` (at some time an instance and the oracle disagree) or, once everybody has everything, `diverged`
    (two differ in what must be equal), `lost` (a live write is not kept with its data) or `missing` (nobody holds a
    live write, so the history itself is broken).
    """

    faults: dict[str, str]
    happened: set[str]


def play(rules: Rules[S, E], size: int, seed: str) -> Played:
    """Play the history of this seed with so many instances, then let everybody have everything."""
    history = History(rules, size, random.Random(seed))
    for _ in range(history.random.randint(*STEPS)):
        history.step()
    history.settle()
    return Played(history.faults, history.happened)


class History(Generic[S, E]):
    """Instances with some rows in common, what they wrote, and what was found wrong so far."""

    def __init__(self, rules: Rules[S, E], size: int, rng: random.Random) -> None:
        self.rules, self.random, self.oracle = rules, rng, Oracle()
        self.rows = range(rng.choice(ROWS))
        self.instances = [self._born(f"i{number}") for number in range(size)]
        self.entries: dict[int, E] = {}  # those that somebody still holds
        self.travelled: set[int] = set()
        self.faults: dict[str, str] = {}
        self.happened: set[str] = set()
        self._steps: dict[Callable[[Instance[S]], None], int] = {
            self._write: 30,
            self._delete: 6,
            self._resolve: 16,
            self._receive: 36,
            self._catch_up: 6,
            self._unpark: 4,
            self._back_up: 2,
            self._restore: 7,
        }

    def step(self) -> None:
        (act,) = self.random.choices(list(self._steps), list(self._steps.values()))
        act(self.random.choice(self.instances))

    def settle(self) -> None:
        """Everybody receives everything, in an order of their own and some of it twice."""
        for instance in self.instances:
            numbers = [*self.entries, *self.random.sample(list(self.entries), len(self.entries) // 3)]
            self.random.shuffle(numbers)
            for number in numbers:
                self._join(instance, number)
            for row in self.rows:
                self._compare(instance, row)
                self._look_for_losses(instance, row)
        for row in self.rows:
            self._compare_all([instance.memory.rows[row] for instance in self.instances])

    def _write(self, instance: Instance[S]) -> None:
        row, text = self.random.choice(self.rows), self.random.choice(TEXTS)
        shown = self._shown(instance, row)
        if shown is None or shown.content != text:  # a write that changes nothing is no write
            self._record(instance, row, deleted=False, text=text)

    def _delete(self, instance: Instance[S]) -> None:
        row = self.random.choice(self.rows)
        shown = self._shown(instance, row)
        if shown is not None and not shown.deleted:
            self._record(instance, row, deleted=True, text=shown.text)
            self.happened.add("deleted")

    def _resolve(self, instance: Instance[S]) -> None:
        """Settle what is live here: all of it, or the shown version and some of the others."""
        row = self.random.choice(self.rows)
        view = self.rules.view(instance.memory.rows[row])
        others = sorted(number for number, _, _ in view.live if number != view.shown)
        if view.shown is None or not others:
            return self._write(instance)
        settled = {view.shown, *self.random.sample(others, self.random.randint(1, len(others)))}
        chosen = self.oracle.writes[self.random.choice(sorted(settled))]
        text = chosen.text if self.random.random() < 0.7 else self.random.choice(TEXTS)
        self._record(instance, row, deleted=chosen.deleted, text=text, resolves=settled)
        self.happened.add("resolved" if len(settled) == len(view.live) else "resolved in part")
        return None

    def _receive(self, instance: Instance[S]) -> None:
        """Any entry from anybody, rather a late one: it names what has not come yet."""
        if not self.entries:
            return
        number = self.random.choice(list(self.entries)[-self.random.choice((1, 3, 1000)) :])
        if number in instance.memory.joined:
            self.happened.add("received again")
        elif self.random.random() < 0.15:
            instance.memory.parked.add(number)
            self.travelled.add(number)
            self.happened.add("parked")
            return
        self._join(instance, number)
        self._compare(instance, self.oracle.writes[number].row)

    def _catch_up(self, instance: Instance[S]) -> None:
        for number in self.random.sample(list(self.entries), (len(self.entries) + 1) // 2):
            self._join(instance, number)
        for row in self.rows:
            self._compare(instance, row)

    def _unpark(self, instance: Instance[S]) -> None:
        for number in sorted(instance.memory.parked):
            self._join(instance, number)
            self._compare(instance, self.oracle.writes[number].row)

    def _back_up(self, instance: Instance[S]) -> None:
        instance.backup = instance.memory.copy()
        instance.since_backup.clear()

    def _restore(self, instance: Instance[S]) -> None:
        """Back to the last backup. What it wrote since is gone, except for what somebody else can have learnt of."""
        lost = instance.since_backup
        while lost and lost[-1] not in self.travelled:
            del self.entries[lost.pop()]
        self.travelled.update(lost)
        instance.memory = instance.backup.copy()
        if self.rules.new_epoch_after_restore:
            instance.memory.writer = self._writer(instance.id)
        self._back_up(instance)
        self.happened.add("restored")
        self._write(instance)  # at once, when a name is most easily used twice

    def _record(
        self, instance: Instance[S], row: int, *, deleted: bool, text: str, resolves: Collection[int] = ()
    ) -> None:
        memory = instance.memory
        memory.lamport = causality.tick(memory.lamport)
        dot = Dot(memory.writer, memory.lamport)
        write = self.oracle.wrote(memory.knows[row], row, dot, deleted=deleted, text=text, resolves=resolves)
        memory.rows[row], self.entries[write.number] = self.rules.write(
            memory.rows[row],
            dot,
            deleted=deleted,
            data={"text": text, "number": write.number},
            resolves={self.oracle.writes[number].dot for number in resolves},
        )
        memory.joined.add(write.number)
        instance.since_backup.append(write.number)
        self._compare(instance, row)

    def _join(self, instance: Instance[S], number: int) -> None:
        memory, write = instance.memory, self.oracle.writes[number]
        memory.lamport = causality.witness(memory.lamport, write.dot.lamport)
        memory.rows[write.row] = self.rules.join(memory.rows[write.row], self.entries[number])
        self.oracle.received(memory.knows[write.row], write)
        memory.joined.add(number)
        memory.parked.discard(number)
        if number not in instance.since_backup:
            self.travelled.add(number)

    def _compare(self, instance: Instance[S], row: int) -> None:
        found, true = self.rules.view(instance.memory.rows[row]), self.oracle.view(instance.memory.knows[row])
        if found != true:
            self.faults.setdefault("wrong", f"{instance.id} says {found} and not {true}")
        self.happened.update(
            name
            for name, so in {
                "in conflict": bool(true.conflicts),
                "the same twice": len(true.live) > len(true.conflicts) + 1,
                "waiting": bool(true.waiting),
            }.items()
            if so
        )

    def _look_for_losses(self, instance: Instance[S], row: int) -> None:
        found, true = self.rules.view(instance.memory.rows[row]), self.oracle.view(instance.memory.knows[row])
        if true.waiting:
            self.faults["missing"] = f"nobody holds {true.waiting}"
        if true.live - found.live:
            self.faults.setdefault("lost", f"{instance.id} has lost {true.live - found.live}")

    def _compare_all(self, states: list[S]) -> None:
        prints = [self.rules.fingerprint(state) for state in states]
        if any(each != prints[0] for each in prints):
            self.faults.setdefault("diverged", f"the instances keep {prints}")

    def _shown(self, instance: Instance[S], row: int) -> Write | None:
        number = self.rules.view(instance.memory.rows[row]).shown
        return None if number is None else self.oracle.writes[number]

    def _born(self, instance_id: str) -> Instance[S]:
        memory = Memory(
            self._writer(instance_id), [self.rules.empty() for _ in self.rows], [Knowledge() for _ in self.rows]
        )
        return Instance(instance_id, memory, memory.copy())

    def _writer(self, instance_id: str) -> str:
        return causality.writer_of(instance_id, f"{self.random.getrandbits(48):012x}")


class Causality:
    """The rules under test."""

    new_epoch_after_restore = True

    def empty(self) -> RowState:
        return EMPTY

    def write(
        self, state: RowState, dot: Dot, *, deleted: bool, data: Data, resolves: Collection[Dot]
    ) -> tuple[RowState, Arrival]:
        return causality.write(state, dot, deleted=deleted, data=data, resolves=resolves, bookkeeping=BOOKKEEPING)

    def join(self, state: RowState, entry: Arrival) -> RowState:
        causality.check(entry)
        return causality.join(state, entry)

    def view(self, state: RowState) -> View:
        shown = causality.current(state)
        conflicts = causality.open_conflicts("notes", "row", state, BOOKKEEPING)
        here = [version for version in state.live if version.here]
        return View(
            shown=number_of(shown) if shown else None,
            live=frozenset((number_of(each), each.deleted, (each.data or {})["text"]) for each in here),
            waiting=frozenset(causality.waiting(state)),
            conflicts=frozenset(number_of(conflict.other) for conflict in conflicts),
            vector=state.vector,
        )

    def fingerprint(self, state: RowState) -> object:
        conflicts = causality.open_conflicts("notes", "row", state, BOOKKEEPING)
        return list(state.vector.items()), state.live, [conflict.id for conflict in conflicts]


def number_of(version: causality.Version) -> int:
    assert version.data is not None
    number = version.data["number"]
    assert isinstance(number, int)
    return number
