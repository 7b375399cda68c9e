"""The join of any entries, true or false: order, grouping and repetition change nothing, and no data is lost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import reduce
from itertools import combinations
from uuid import UUID, uuid5

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crow_hooks import Data
from crow_plugins.causality import (
    CONFLICTS,
    EMPTY,
    Arrival,
    Dot,
    RowState,
    Version,
    check,
    current,
    instance_of,
    join,
    open_conflicts,
    same_content,
    waiting,
    witness,
    write,
    writer_of,
)

settings.register_profile("causality", max_examples=200, deadline=None)
ARBITRARY = settings.get_profile("causality")

WRITERS = ("crow.1", "grackle.1", "swan.1")
DOTS = st.builds(Dot, st.sampled_from(WRITERS), st.integers(1, 6))
UNSEEN: frozenset[Dot] = frozenset()


@st.composite
def arrivals(draw: st.DrawFn, dot: Dot) -> Arrival:
    """Any entry by this name that is not refused, whether or not an honest author could have written it."""
    below = st.integers(1, max(1, dot.lamport - 1))
    vector = draw(st.dictionaries(st.sampled_from(WRITERS), below)) if dot.lamport > 1 else {}
    known = {**vector, dot.writer: dot.lamport - 1}
    seen = [Dot(writer, lamport) for writer in known for lamport in range(1, known[writer] + 1)]
    left_open = draw(st.frozensets(st.sampled_from(seen), max_size=3)) if seen else UNSEEN
    return Arrival(dot, vector, left_open, draw(st.booleans()), {"text": draw(st.sampled_from("ab"))})


@st.composite
def entry_sets(draw: st.DrawFn) -> list[Arrival]:
    """Entries of one row; a dot names one of them only."""
    return [draw(arrivals(dot)) for dot in draw(st.lists(DOTS, unique=True, max_size=6))]


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[Arrival], list[Arrival]]:
    """The same entries in two orders, each with repeats."""
    entries = draw(entry_sets())
    if not entries:
        return [], []
    again = st.lists(st.sampled_from(entries), max_size=4)
    first, second = (draw(st.permutations([*entries, *draw(again)])) for _ in range(2))
    return list(first), list(second)


def joined(entries: Sequence[Arrival], start: RowState = EMPTY) -> RowState:
    return reduce(join, entries, start)


def state_of(entry: Arrival) -> RowState:
    """The entry as the state of somebody who knows nothing else."""
    return joined([entry])


def covered(dot: Dot, state: RowState) -> bool:
    return dot.lamport <= state.vector.get(dot.writer, 0)


def merged(one: RowState, other: RowState) -> RowState:
    """The rule on two states, written down as sets: what the join of an entry must agree with."""
    mine, theirs = ({version.dot: version for version in state.live} for state in (one, other))
    live = (
        mine.keys() & theirs.keys()
        | {dot for dot in mine if not covered(dot, other)}
        | {dot for dot in theirs if not covered(dot, one)}
    )
    versions = [max((side[dot] for side in (mine, theirs) if dot in side), key=lambda v: v.here) for dot in live]
    writers = sorted(one.vector.keys() | other.vector.keys())
    vector = {writer: max(one.vector.get(writer, 0), other.vector.get(writer, 0)) for writer in writers}
    return RowState(vector, tuple(sorted(versions, key=lambda version: version.dot)))


@ARBITRARY
@given(deliveries())
def test_order_and_repetition_change_nothing(delivered: tuple[list[Arrival], list[Arrival]]) -> None:
    first, second = delivered
    assert joined(first) == joined(second)


@ARBITRARY
@given(entry_sets())
def test_joining_an_entry_again_changes_nothing(entries: list[Arrival]) -> None:
    state = joined(entries)
    for entry in entries:
        assert join(state, entry) == state


@ARBITRARY
@given(entry_sets(), st.integers(0, 6))
def test_grouping_changes_nothing(entries: list[Arrival], cut: int) -> None:
    """What two instances know, put together, is what one would know that had heard of it all."""
    assert merged(joined(entries[:cut]), joined(entries[cut:])) == joined(entries)
    assert merged(joined(entries[cut:]), joined(entries[:cut])) == joined(entries)


@ARBITRARY
@given(entry_sets())
def test_an_entry_is_joined_as_the_state_that_it_is(entries: list[Arrival]) -> None:
    state = EMPTY
    for entry in entries:
        after = join(state, entry)
        assert after == merged(state, state_of(entry))
        state = after


@ARBITRARY
@given(entry_sets())
def test_what_was_known_stays_known_and_what_was_covered_stays_covered(entries: list[Arrival]) -> None:
    state, gone = EMPTY, set[Dot]()
    for entry in entries:
        after = join(state, entry)
        live = {version.dot for version in after.live}
        gone |= {version.dot for version in state.live} - live
        assert all(after.vector[writer] >= lamport for writer, lamport in state.vector.items())
        assert all(after.vector[dot.writer] >= dot.lamport for dot in live)
        assert not gone & live
        state = after


@ARBITRARY
@given(entry_sets())
def test_the_data_of_a_live_version_is_kept_and_of_one_that_did_not_come_is_waited_for(entries: list[Arrival]) -> None:
    by_dot, state = {entry.dot: entry for entry in entries}, joined(entries)
    for version in state.live:
        if (entry := by_dot.get(version.dot)) is not None:
            assert (version.deleted, version.data) == (entry.deleted, entry.data)
    assert set(waiting(state)) == {version.dot for version in state.live} - by_dot.keys()


@ARBITRARY
@given(deliveries())
def test_equal_states_are_equal_when_written_down(delivered: tuple[list[Arrival], list[Arrival]]) -> None:
    written = [json.dumps([state.vector, [each.dot for each in state.live]]) for state in map(joined, delivered)]
    assert written[0] == written[1]


@ARBITRARY
@given(entry_sets(), st.booleans(), st.data())
def test_no_entry_can_make_the_next_local_write_vanish(
    entries: list[Arrival], deleted: bool, data: st.DataObject
) -> None:
    state, clock = joined(entries), reduce(witness, [entry.dot.lamport for entry in entries], 0)
    live = [version.dot for version in state.live]
    resolves = data.draw(st.frozensets(st.sampled_from(live))) if live else UNSEEN
    dot = Dot(data.draw(st.sampled_from(WRITERS)), clock + 1)
    after, arrival = write(state, dot, deleted=deleted, data={"text": "mine"}, resolves=resolves)
    check(arrival)
    assert after == join(state, arrival)
    assert Version(dot, deleted, {"text": "mine"}) in after.live
    assert set(waiting(after)) == set(waiting(state))


def version(writer: str, lamport: int, text: str | None, *, deleted: bool = False) -> Version:
    return Version(Dot(writer, lamport), deleted, None if text is None else {"text": text})


def row(*live: Version) -> RowState:
    vector = {each.dot.writer: each.dot.lamport for each in live}
    return RowState(vector, tuple(sorted(live, key=lambda each: each.dot)))


RANKED = [
    version("e", 6, "shown"),
    version("d", 6, "tied, of a lower writer"),
    version("f", 5, "a lower lamport"),
    version("g", 8, "gone", deleted=True),
    version("h", 9, None),
]


@pytest.mark.parametrize("some", list(combinations(RANKED, 3)))
def test_shown_is_what_is_here_not_deleted_and_highest_by_lamport_then_writer(some: tuple[Version, ...]) -> None:
    assert current(row(*some)) is some[0]


def test_nothing_is_shown_of_a_row_that_is_unknown_or_only_waited_for() -> None:
    assert current(EMPTY) is None
    assert current(row(version("a", 1, None))) is None


def test_a_delete_needs_no_image_to_be_here() -> None:
    tombstone = version("a", 3, None, deleted=True)
    assert current(row(tombstone)) == tombstone
    assert waiting(row(tombstone)) == ()
    _, arrival = write(row(tombstone), Dot("b", 4), deleted=False, data={"text": "back"})
    assert arrival.open == UNSEEN


def test_a_delete_whose_image_was_dropped_takes_it_from_the_entry_when_that_comes_again() -> None:
    dropped = version("a", 3, None, deleted=True)
    again = Arrival(Dot("a", 3), {}, UNSEEN, deleted=True, data={"text": "last"})
    assert join(row(dropped), again).live == (version("a", 3, "last", deleted=True),)


def test_a_write_covers_the_shown_version_and_its_equals_and_leaves_the_others_open() -> None:
    shown, equal, other = version("c", 3, "x"), version("b", 2, "x"), version("a", 1, "y")
    after, arrival = write(row(shown, equal, other), Dot("c", 4), deleted=False, data={"text": "z"})
    assert arrival.open == {other.dot}
    assert arrival.vector == {"a": 1, "b": 2, "c": 3}
    assert after.live == (other, version("c", 4, "z"))


def test_a_write_over_nothing_but_a_version_that_is_waited_for_leaves_it_open() -> None:
    missing = version("a", 1, None)
    after, arrival = write(row(missing), Dot("b", 2), deleted=False, data={"text": "z"}, resolves={missing.dot})
    assert arrival.open == {missing.dot}
    assert after.live == (missing, version("b", 2, "z"))


def test_a_resolution_does_not_cover_what_has_not_come_though_it_names_it() -> None:
    shown, missing = version("c", 3, "x"), version("a", 1, None)
    resolves = {shown.dot, missing.dot}
    after, arrival = write(row(shown, missing), Dot("d", 4), deleted=False, data={"text": "z"}, resolves=resolves)
    assert arrival.open == {missing.dot}
    assert after.live == (missing, version("d", 4, "z"))


def test_a_resolution_covers_what_it_names_and_no_more() -> None:
    shown, one, two = version("c", 3, "x"), version("b", 2, "y"), version("a", 1, "z")
    before = row(shown, one, two)
    _, of_all = write(before, Dot("d", 4), deleted=False, data={}, resolves={shown.dot, one.dot, two.dot})
    _, of_two = write(before, Dot("d", 4), deleted=False, data={}, resolves={shown.dot, one.dot})
    assert of_all.open == UNSEEN
    assert of_two.open == {two.dot}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param({"text": "a"}, {"text": "a"}, True, id="equal"),
        pytest.param({"text": "a"}, {"text": "b"}, False, id="different"),
        pytest.param({"text": "a"}, {}, False, id="a column less"),
        pytest.param({"text": "a", "updated_at": 1}, {"text": "a", "updated_at": 2}, True, id="bookkeeping"),
        pytest.param({"tags": [1]}, {"tags": [True]}, False, id="true is not one"),
        pytest.param({"tags": {"a": [0]}}, {"tags": {"a": [False]}}, False, id="false is not zero, deep down"),
        pytest.param({"on": False}, {"on": False}, True, id="false is false"),
        pytest.param({"size": 1}, {"size": 1.0}, True, id="one number in two notations"),
        pytest.param({"tags": ["a", "b"]}, {"tags": ["b", "a"]}, False, id="another order of a list"),
        pytest.param({"tags": ["a"]}, {"tags": ["a", "b"]}, False, id="a longer list"),
        pytest.param({"tags": {"a": 1, "b": 2}}, {"tags": {"b": 2, "a": 1}}, True, id="another order of names"),
        pytest.param({"tags": {}}, {"tags": []}, False, id="an object and a list"),
        pytest.param({"text": None}, {"text": ""}, False, id="null and empty"),
    ],
)
def test_contents_are_compared_as_json_without_bookkeeping(one: Data, other: Data, same: bool) -> None:
    first, second = Version(Dot("a", 1), False, one), Version(Dot("b", 1), False, other)
    assert same_content(first, second, ["updated_at"]) is same
    assert same_content(second, first, ["updated_at"]) is same


def test_deletes_are_the_same_whatever_they_deleted_and_never_the_same_as_an_edit() -> None:
    gone, gone_too = version("a", 1, "x", deleted=True), version("b", 1, None, deleted=True)
    assert same_content(gone, gone_too)
    assert not same_content(gone, version("c", 1, "x"))


def test_open_conflicts_are_the_shown_version_against_each_other_one_that_is_here_and_differs() -> None:
    shown, equal, differs = version("e", 5, "x"), version("d", 4, "x"), version("c", 3, "y")
    gone, missing = version("b", 2, "x", deleted=True), version("a", 1, None)
    found = open_conflicts("notes", "row", row(shown, equal, differs, gone, missing))
    assert [(conflict.current, conflict.other) for conflict in found] == [(shown, gone), (shown, differs)]
    assert open_conflicts("notes", "row", row(shown, equal)) == ()
    assert open_conflicts("notes", "row", row(shown)) == ()
    assert open_conflicts("notes", "row", EMPTY) == ()


def test_the_id_of_a_conflict_is_fixed_by_table_row_and_the_two_dots() -> None:
    grackle = version("11111111-1111-4111-8111-111111111111.9f3a01c2d4e5", 42, "mine")
    swan = version("22222222-2222-4222-8222-222222222222.000000000000", 41, "theirs")
    row_id = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
    (conflict,) = open_conflicts("memories", row_id, row(grackle, swan))
    name = f"memories\n{row_id}\n{grackle.dot.writer}\n42\n{swan.dot.writer}\n41"
    assert conflict.id == "51120f28-18aa-59a2-9034-bac336ecb73b"
    assert conflict.id == str(uuid5(UUID("6f6b5b1e-3f0e-5c8e-9d55-0c5a4f3c7a11"), name))
    assert str(CONFLICTS) == "6f6b5b1e-3f0e-5c8e-9d55-0c5a4f3c7a11"


def test_every_conflict_has_an_id_of_its_own() -> None:
    rows = [row(version("b", 2, "x"), version("a", 1, "y")), row(version("b", 3, "x"), version("a", 1, "y"))]
    rows += [row(version("b", 2, "x"), version("a", 2, "y")), row(version("c", 2, "x"), version("a", 1, "y"))]
    ids = {
        conflict.id
        for row in rows
        for table, row_id in (("notes", "1"), ("notes", "2"), ("sources", "1"))
        for conflict in open_conflicts(table, row_id, row)
    }
    assert len(ids) == 12


def test_a_writer_is_an_instance_in_one_epoch() -> None:
    writer = writer_of("11111111-1111-4111-8111-111111111111", "9f3a01c2d4e5")
    assert writer == "11111111-1111-4111-8111-111111111111.9f3a01c2d4e5"
    assert instance_of(writer) == "11111111-1111-4111-8111-111111111111"
