"""Whatever instances write and in whatever order they hear of it: all end equal, and as the oracle says.

The same oracle is turned on rules that are known to be wrong, since an oracle that catches nothing proves nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

import pytest

from crow_hooks import Data
from crow_plugins import causality
from crow_plugins.causality import Arrival, Dot, RowState
from tests.causality.oracle import Causality, E, Played, Rules, S, View, play

HISTORIES = int(os.environ.get("CROW_HISTORIES", "20000"))
CONTROL_HISTORIES = 500
SEED = 1_795_392_000
SIZES = (3, 5)


def played(rules: Rules[S, E], size: int, number: int) -> Played:
    return play(rules, size, f"{SEED}/{size}/{number}")


def shares(rules: Rules[S, E]) -> dict[str, float]:
    """For each kind of fault, the share of histories that it is found in."""
    found: Counter[str] = Counter()
    for number in range(CONTROL_HISTORIES):
        found.update(played(rules, 3, number).faults.keys())
    return {kind: count / CONTROL_HISTORIES for kind, count in found.items()}


@pytest.mark.parametrize("size", SIZES)
def test_every_history_goes_and_ends_as_the_oracle_says(size: int) -> None:
    for number in range(HISTORIES // len(SIZES)):
        faults = played(Causality(), size, number).faults
        assert not faults, f"history {number} of {size} instances, seed {SEED}: {faults}"


@pytest.mark.parametrize("size", SIZES)
def test_the_histories_are_not_tame(size: int) -> None:
    happened = Counter(name for number in range(500) for name in played(Causality(), size, number).happened)
    rare, common = {"resolved in part": 5, "waiting": 25}, 100
    for name in (
        "in conflict",
        "the same twice",
        "waiting",
        "deleted",
        "resolved",
        "resolved in part",
        "parked",
        "received again",
        "restored",
    ):
        assert happened[name] >= rare.get(name, common), f"{name} happened in {happened[name]} of 500 histories"


def test_a_history_repeats_exactly_from_its_seed() -> None:
    assert played(EarlySkip(), 5, 7) == played(EarlySkip(), 5, 7)


class EarlySkip(Causality):
    """Takes an entry whose dot is covered for one that has been applied."""

    def join(self, state: RowState, entry: Arrival) -> RowState:
        known = entry.dot.lamport <= state.vector.get(entry.dot.writer, 0)
        return state if known else super().join(state, entry)


class OpenForgotten(Causality):
    """Takes every version that an author had seen for one that it meant to overwrite."""

    def join(self, state: RowState, entry: Arrival) -> RowState:
        return super().join(state, replace(entry, open=frozenset()))


class ReusedDots(Causality):
    """Writes on under the same name after a restore, so that one dot names two writes."""

    new_epoch_after_restore = False


@dataclass(frozen=True, slots=True)
class Told:
    """A change as the lamport rule has it; `causes` are the changes that its author had received."""

    dot: Dot
    deleted: bool
    data: Data
    causes: frozenset[Dot]


@dataclass(frozen=True, slots=True)
class Row:
    """A row as the lamport rule keeps it: one version, what has been received, and the conflicts recorded."""

    shown: Told | None = None
    received: frozenset[Dot] = frozenset()
    conflicts: tuple[Told, ...] = ()


class LamportRule:
    """The higher lamport is written; only what loses is asked whether it was known."""

    new_epoch_after_restore = True

    def empty(self) -> Row:
        return Row()

    def write(self, state: Row, dot: Dot, *, deleted: bool, data: Data, resolves: Collection[Dot]) -> tuple[Row, Told]:
        told = Told(dot, deleted, data, state.received)
        unsettled = tuple(other for other in state.conflicts if other.dot not in resolves)
        return Row(told, state.received | {dot}, unsettled), told

    def join(self, state: Row, entry: Told) -> Row:
        received = state.received | {entry.dot}
        if state.shown is None or entry.dot.lamport >= state.shown.dot.lamport:
            return Row(entry, received, state.conflicts)
        if entry.dot in state.shown.causes or entry in state.conflicts:
            return Row(state.shown, received, state.conflicts)
        return Row(state.shown, received, (*state.conflicts, entry))

    def view(self, state: Row) -> View:
        kept = [*state.conflicts, *([state.shown] if state.shown else [])]
        numbers = {each.dot: int(str(each.data["number"])) for each in kept}
        return View(
            shown=numbers[state.shown.dot] if state.shown else None,
            live=frozenset((numbers[each.dot], each.deleted, each.data["text"]) for each in kept),
            waiting=frozenset(),
            conflicts=frozenset(numbers[each.dot] for each in state.conflicts),
            vector={},
        )

    def fingerprint(self, state: Row) -> object:
        return None if state.shown is None or state.shown.deleted else state.shown.data["text"]


def test_the_lamport_rule_is_caught_diverging_and_losing_writes() -> None:
    found = shares(LamportRule())
    assert found["diverged"] > 0.08, found
    assert found["lost"] > 0.5, found


def test_skipping_an_entry_whose_dot_is_known_is_caught_diverging_and_losing_writes() -> None:
    found = shares(EarlySkip())
    assert found["diverged"] > 0.08, found
    assert found["lost"] > 0.08, found


def test_reused_dots_are_caught_diverging_and_losing_writes() -> None:
    found = shares(ReusedDots())
    assert found["diverged"] > 0.02, found
    assert found["lost"] > 0.15, found


def test_forgetting_what_was_left_open_is_caught_although_all_instances_agree() -> None:
    found = shares(OpenForgotten())
    assert "diverged" not in found, found
    assert found["lost"] > 0.1, found


def test_a_version_that_was_left_open_and_never_came_waits_and_no_write_covers_it() -> None:
    grackle, swan, crow = Dot("grackle.1", 1), Dot("swan.1", 2), Dot("crow.1", 3)
    seen, _ = causality.write(causality.EMPTY, grackle, deleted=False, data={"text": "a"})
    other = Arrival(swan, {}, frozenset(), deleted=False, data={"text": "b"})
    both = causality.join(seen, other)
    _, late = causality.write(both, crow, deleted=False, data={"text": "c"})
    assert late.open == {grackle}

    elsewhere = causality.join(causality.EMPTY, late)
    assert causality.waiting(elsewhere) == (grackle,)
    _, over = causality.write(elsewhere, Dot("dove.1", 4), deleted=False, data={"text": "d"}, resolves={grackle, crow})
    assert over.open == {grackle}
