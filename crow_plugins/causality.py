"""Logical time, and the join of what two instances know of one row.

Every write of a row has a name of its own, its *dot*: the writer and a Lamport number. A row's state is a version
vector (everything known of the row) and its live versions (what no later, informed write has covered: one, unless
instances wrote without having seen each other). Joining a state with an entry is commutative, associative and
idempotent, so equal sets of entries give equal states, in whatever order and through whomever they came.

Nothing here knows a clock, a database or a network; time is an argument. That a dot names one write is taken on trust:
who may write under which name is decided elsewhere.

    CausalityError
    ├── LamportOutOfRange   the author's fault: no integer from 1 to 2^53-1
    ├── NotBefore           the author's fault: it claims to have seen what is not earlier
    ├── UnseenSibling       the author's fault: it leaves open what it never saw
    ├── ClockBehind         ours: a local write would not come after what the row has seen
    └── ClockExhausted      nobody can write after this lamport
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from crow_hooks import CrowError, Data

LAMPORT_MAX = 2**53 - 1  # what every JSON reader holds exactly
LAMPORTS_A_SECOND = 2**20  # more writes than any chain makes; a clock beyond it is not honest
BUILD_TIME = 1_795_392_000  # unix seconds of this release: no clock that stands earlier is right

CONFLICTS = uuid.UUID("6f6b5b1e-3f0e-5c8e-9d55-0c5a4f3c7a11")  # the namespace of conflict ids; it never changes


class CausalityError(CrowError):
    """A write claims what cannot be."""

    code = "causality_error"


class LamportOutOfRange(CausalityError):
    """A Lamport number is no integer from 1 to 2^53-1."""

    code = "lamport_out_of_range"

    def __init__(self) -> None:
        super().__init__(
            f"an entry names a lamport that is no integer from 1 to {LAMPORT_MAX}; "
            "it is refused, so run `crow doctor` where it was written"
        )


class NotBefore(CausalityError):
    """An entry claims to have seen a write that is not earlier than itself."""

    code = "not_before"

    def __init__(self) -> None:
        super().__init__(
            "an entry names a lamport that is not below its own as seen; "
            "it is refused, so run `crow doctor` where it was written"
        )


class UnseenSibling(CausalityError):
    """An entry leaves open a version that it does not claim to have seen."""

    code = "unseen_sibling"

    def __init__(self) -> None:
        super().__init__(
            "an entry leaves open a version that it never saw; it is refused, so run `crow doctor` where it was written"
        )


class ClockBehind(CausalityError):
    """A local write would bear a lamport that the row is past already."""

    code = "clock_behind"

    def __init__(self) -> None:
        super().__init__("the logical clock is behind this row; nothing was written, so run `crow doctor`")


class ClockExhausted(CausalityError):
    """The Lamport counter has reached its end."""

    code = "clock_exhausted"

    def __init__(self) -> None:
        super().__init__("the logical clock has reached its end; restore a backup from before it jumped")


class Dot(NamedTuple):
    """The name of one write: ordered by writer, then lamport."""

    writer: str
    lamport: int


@dataclass(frozen=True, slots=True)
class Version:
    """One write of a row: its whole image after the write; for a delete the last image, which may be dropped."""

    dot: Dot
    deleted: bool
    data: Data | None

    @property
    def here(self) -> bool:
        """Whether the write itself has come, and not only its name in somebody's `open`."""
        return self.deleted or self.data is not None


@dataclass(frozen=True, slots=True)
class RowState:
    """What is known of a row: writer to highest lamport, and the live versions; both in the order of their names."""

    vector: Mapping[str, int]
    live: tuple[Version, ...]


EMPTY = RowState({}, ())


@dataclass(frozen=True, slots=True)
class Arrival:
    """One write as it travels.

    `vector` is what its author knew of the row before it; `open` names the live versions that
    the author knew and did not mean to cover.
    """

    dot: Dot
    vector: Mapping[str, int]
    open: frozenset[Dot]
    deleted: bool
    data: Data | None


@dataclass(frozen=True, slots=True)
class OpenConflict:
    """Two live versions with different content: the one shown, and the other."""

    id: str
    current: Version
    other: Version


def writer_of(instance_id: str, epoch: str) -> str:
    """The name that an instance writes under while nobody can hold a copy of its database: one epoch long."""
    return f"{instance_id}.{epoch}"


def instance_of(writer: str) -> str:
    return writer.split(".", 1)[0]


def tick(lamport: int) -> int:
    """The next local lamport. Raises `ClockExhausted`."""
    if lamport >= LAMPORT_MAX:
        raise ClockExhausted
    return lamport + 1


def witness(lamport: int, received: int) -> int:
    """The local lamport after a received one. Raises `ClockExhausted`."""
    return tick(max(lamport, received))


def lamport_limit(now: int) -> int:
    """The highest lamport that an entry may carry at `now` (unix seconds); beyond it, it waits."""
    return min(LAMPORT_MAX, LAMPORTS_A_SECOND * max(now, BUILD_TIME))


def check(arrival: Arrival) -> None:
    """Raise `LamportOutOfRange`, `NotBefore` or `UnseenSibling` for what no honest author writes.

    What passes can be joined by everybody in any order, true or not: a lamport not below its own would make the
    victim's next write look known before it was made.
    """
    dot = arrival.dot
    _check_range(dot.lamport)
    if not arrival.vector and not arrival.open:  # the first write of a row, as most are
        return
    for lamport in [*arrival.vector.values(), *(sibling.lamport for sibling in arrival.open)]:
        _check_range(lamport)
        if lamport >= dot.lamport:
            raise NotBefore
    for sibling in arrival.open:
        # A write has seen every earlier one of its own writer.
        if sibling.writer != dot.writer and not _covered(sibling, arrival.vector):
            raise UnseenSibling


def join(state: RowState, arrival: Arrival) -> RowState:
    """The state that knows both. An entry whose dot is known is joined like any other: it may bring news.

    A version stays live unless one side knows of it and has it live no more.
    """
    if not (state.vector or arrival.vector or arrival.open):  # the first write of a row that is new here, as most are
        dot = arrival.dot
        return RowState({dot.writer: dot.lamport}, (Version(dot, arrival.deleted, arrival.data),))
    vector = _max(arrival.vector, [arrival.dot])
    named = arrival.open | {arrival.dot}
    live = {version.dot: version for version in state.live if version.dot in named or not _covered(version.dot, vector)}
    for dot in named:
        if dot not in live and not _covered(dot, state.vector):
            live[dot] = Version(dot, False, None)
    arrived = live.get(arrival.dot)
    if arrived is not None and arrived.data is None:
        live[arrival.dot] = Version(arrival.dot, arrival.deleted, arrival.data)
    return RowState(_max(state.vector, vector.items()), _ordered(live.values()))


def write(
    state: RowState,
    dot: Dot,
    *,
    deleted: bool,
    data: Data,
    resolves: Collection[Dot] = (),
    bookkeeping: Collection[str] = (),
) -> tuple[RowState, Arrival]:
    """A local write over `state`; returns the new state and what travels. Raises `ClockBehind`.

    It covers the shown version, those of equal content, and those it `resolves`. A version that is not here
    was never seen, so it is never covered.
    """
    if dot.lamport <= max(state.vector.values(), default=0):
        raise ClockBehind
    written = Version(dot, deleted, data)
    stays = _left_open(state, resolves, bookkeeping)
    arrival = Arrival(dot, state.vector, frozenset(version.dot for version in stays), deleted, data)
    return RowState(_max(state.vector, [dot]), _ordered([*stays, written])), arrival


def current(state: RowState) -> Version | None:
    """The version to show: one that is not deleted before one that is, then the highest lamport, then the writer."""
    if len(state.live) == 1:
        [only] = state.live
        return only if only.here else None
    here = [version for version in state.live if version.here]
    if len(here) < 2:
        return here[0] if here else None
    return max(here, key=lambda version: (not version.deleted, version.dot.lamport, version.dot.writer))


def waiting(state: RowState) -> tuple[Dot, ...]:
    """The live versions that are not here yet."""
    return tuple(version.dot for version in state.live if not version.here)


def same_content(one: Version, other: Version, bookkeeping: Collection[str] = ()) -> bool:
    """Whether nobody would have to choose between the two; the image of a delete is no content."""
    if one.deleted or other.deleted:
        return one.deleted == other.deleted
    return _same(_content(one.data, bookkeeping), _content(other.data, bookkeeping))


def open_conflicts(
    table: str, row_id: str, state: RowState, bookkeeping: Collection[str] = ()
) -> tuple[OpenConflict, ...]:
    """The shown version against every other one whose content differs; the same on every instance."""
    shown = current(state)
    if shown is None or len(state.live) == 1:
        return ()
    return tuple(
        OpenConflict(conflict_id(table, row_id, shown.dot, version.dot), shown, version)
        for version in state.live
        if version is not shown and version.here and not same_content(shown, version, bookkeeping)
    )


def _left_open(state: RowState, resolves: Collection[Dot], bookkeeping: Collection[str]) -> list[Version]:
    shown = current(state)
    if shown is None:
        return list(state.live)
    return [
        version
        for version in state.live
        if version is not shown
        and not (version.here and (version.dot in resolves or same_content(shown, version, bookkeeping)))
    ]


def _check_range(lamport: int) -> None:
    if type(lamport) is not int or not 1 <= lamport <= LAMPORT_MAX:
        raise LamportOutOfRange


def _covered(dot: Dot, vector: Mapping[str, int]) -> bool:
    return dot.lamport <= vector.get(dot.writer, 0)


def _max(vector: Mapping[str, int], dots: Iterable[tuple[str, int]]) -> dict[str, int]:
    joined = dict(vector)
    for writer, lamport in dots:
        if lamport > joined.get(writer, 0):
            joined[writer] = lamport
    # A new writer is rare, and equal states must be equal when written down.
    return joined if len(joined) == len(vector) else dict(sorted(joined.items()))


def _ordered(versions: Iterable[Version]) -> tuple[Version, ...]:
    return tuple(sorted(versions, key=lambda version: version.dot))


def _content(data: Data | None, bookkeeping: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in (data or {}).items() if name not in bookkeeping}


def _same(one: object, other: object) -> bool:
    """Equal as JSON. To Python true is 1; and 1 is 1.0 here too, since a column of reals may give back either."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def conflict_id(table: str, row_id: str, shown: Dot, other: Dot) -> str:
    """The same on every instance: it follows from the row and the names of both versions."""
    parts = [table, row_id, shown.writer, str(shown.lamport), other.writer, str(other.lamport)]
    return str(uuid.uuid5(CONFLICTS, "\n".join(parts)))
