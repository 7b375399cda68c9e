"""A chain with restores, two branches of one feed, relays and late joiners ends equal, and nothing held is lost.

Then each rule is taken away in turn, and the same histories must show it: what no rule is needed for proves nothing.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from dataclasses import replace

import pytest

from crow_hooks import Data
from crow_plugins.causality import EMPTY, Arrival, Dot, RowState
from tests.causality.feeds import Copy, Ways, play
from tests.causality.oracle import Causality, Played
from tests.causality.test_histories import EarlySkip, LamportRule, OpenForgotten

HISTORIES = int(os.environ.get("CROW_CHAIN_HISTORIES", "5000"))
CONTROL_HISTORIES = 600
HISTORIES_LOOKED_AT = 150
SEED = 1_795_392_001
SIZES = (3, 5)


def played(
    size: int, number: int, rules: object = None, ways: Ways | None = None, *, without_one: bool = False
) -> Played:
    return play(
        rules or Causality(),  # type: ignore[arg-type]
        ways or Ways(),
        size,
        f"{SEED}/{size}/{number}",
        without_one=without_one,
    )


@pytest.mark.parametrize("size", SIZES)
def test_every_chain_ends_equal_with_all_that_was_held(size: int) -> None:
    for number in range(HISTORIES // len(SIZES)):
        faults = played(size, number).faults
        assert not faults, f"history {number} of {size} instances, seed {SEED}: {faults}"


@pytest.mark.parametrize("size", SIZES)
def test_the_histories_are_not_tame(size: int) -> None:
    happened = Counter(name for number in range(HISTORIES_LOOKED_AT) for name in played(size, number).happened)
    for name in (
        "in conflict",
        "resolved",
        "relayed",
        "parked",
        "joined late",
        "restored, seen by the seal",
        "restored unseen",
        "two branches of one fork",
        "cut",
        "rescued",
        "healed at the same fork",
        "healed at a higher fork",
        "nobody had all of a head",
    ):
        assert happened[name] >= 10, f"{name} happened in {happened[name]} of {HISTORIES_LOOKED_AT} histories"


class LeavesWhatIsDisputed(Ways):
    def disputed(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        return ()


def test_every_chain_ends_equal_that_one_has_left_for_ever_with_two_branches_of_its_feed() -> None:
    happened: Counter[str] = Counter()
    for number in range(HISTORIES // 20):
        ended = played(4, number, without_one=True)
        assert not ended.faults, f"history {number}, seed {SEED}: {ended.faults}"
        happened.update(ended.happened)
    assert happened["rescued of two branches"] > HISTORIES // 40
    assert happened["the last head of the one that is gone got around without its blocks"] < HISTORIES // 200


def test_without_rescuing_what_is_disputed_such_a_chain_ends_with_differences() -> None:
    found = {
        fault
        for number in range(20)
        for fault in played(4, number, None, LeavesWhatIsDisputed(), without_one=True).faults
    }
    assert found >= {"diverged", "lost"}


class CoversWhatIsNotHere(Causality):
    def write(
        self, state: RowState, dot: Dot, *, deleted: bool, data: Data, resolves: Collection[Dot]
    ) -> tuple[RowState, Arrival]:
        here = replace(state, live=tuple(version for version in state.live if version.here))
        return super().write(here, dot, deleted=deleted, data=data, resolves=resolves)


class ForgetsDeletedRows(Causality):
    def join(self, state: RowState, entry: Arrival) -> RowState:
        joined = super().join(state, entry)
        return EMPTY if all(version.deleted for version in joined.live) else joined


class ReusesNames(Ways):
    def name_after_restore(self, old: str, new: str) -> str:
        return old


class AppendsWhileSuspect(Ways):
    def may_append(self, suspect: bool) -> bool:
        return True


class HealsAtTheSameFork(Ways):
    def fork_when_healed(self, own: int, seen: list[int], agree: bool, now: int) -> int:
        return own


class WaitsForWhatNobodyHas(Ways):
    def what_can_be_served(self, own: Copy) -> Copy:
        return own


class RescuesNothing(Ways):
    def orphans(self, cut: tuple[int, ...]) -> tuple[int, ...]:
        return ()


class LeavesItsOtherBranch(Ways):
    def returns(self, orphans: tuple[int, ...]) -> tuple[int, ...]:
        return ()


class KeepsTheCursor(Ways):
    def cursor_after_cut(self, cursor: int, common: int) -> int:
        return cursor


class ClearsBlocks(Ways):
    """Gives the newest blocks only, as a feed does that was pruned."""

    def given(self, copy: Copy) -> Copy:
        return copy if copy.held < 4 else Copy()


class DropsWhatIsParked(Ways):
    def unparked(self, parked: frozenset[int]) -> frozenset[int]:
        return frozenset()


REMOVED: dict[str, tuple[object, Ways, set[str]]] = {
    # rule, and what is taken away: the rules of rows, those of feeds, what it must be caught at
    "R1 lamports instead of versions": (LamportRule(), Ways(), {"diverged", "lost"}),
    "R1 join what is known too": (EarlySkip(), Ways(), {"diverged", "lost"}),
    "R1 leave open what was not overwritten": (OpenForgotten(), Ways(), {"wrong"}),
    "R1 leave open what is not here": (CoversWhatIsNotHere(), Ways(), {"wrong"}),
    "R2 a new name after a restore": (Causality(), ReusesNames(), {"diverged", "lost"}),
    "R3 append nothing while suspect": (Causality(), AppendsWhileSuspect(), {"forked"}),
    "R3 heal under a higher fork": (Causality(), HealsAtTheSameFork(), {"diverged", "lost"}),
    "R3 give up a head that nobody has": (Causality(), WaitsForWhatNobodyHas(), {"diverged", "lost"}),
    "R3 rescue what was cut": (Causality(), RescuesNothing(), {"diverged", "lost"}),
    "R3 append the own other branch": (Causality(), LeavesItsOtherBranch(), {"diverged", "lost"}),
    "R3 set the cursor back": (Causality(), KeepsTheCursor(), {"diverged", "lost"}),
    "R4 keep what is known of deleted rows": (ForgetsDeletedRows(), Ways(), {"diverged", "wrong"}),
    "R4 clear no block": (Causality(), ClearsBlocks(), {"diverged", "lost"}),
    "R10 join parked entries later": (Causality(), DropsWhatIsParked(), {"diverged", "lost"}),
}


@pytest.mark.parametrize("removed", REMOVED)
def test_without_a_rule_the_same_histories_fail(removed: str) -> None:
    rules, ways, expected = REMOVED[removed]
    found: set[str] = set()
    for number in range(CONTROL_HISTORIES):
        found.update(played(3, number, rules, ways).faults)
        if expected <= found:
            return
    pytest.fail(f"without {removed!r} only {sorted(found)} was found, not {sorted(expected)}")
