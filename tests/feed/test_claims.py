"""What a peer says it holds, against a set of numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed.claims import Claims
from crow_plugins.feed.held import Held

BOUND = 96
places = st.integers(0, 120)
steps = st.lists(st.tuples(st.sampled_from(["add", "remove", "replace"]), places, places, st.binary(max_size=6)))


def apply(claims: Claims, wanted: set[int], kind: str, one: int, other: int, bits: bytes) -> set[int]:
    start, stop = min(one, other), max(one, other)
    if kind == "add":
        claims.add(start, stop, BOUND)
        return wanted | set(range(start, stop))
    if kind == "remove":
        claims.remove(start, stop, BOUND)
        return wanted - set(range(start, stop))
    start &= ~7
    claims.replace(start, bits, BOUND)
    said = {start + n for n in range(8 * len(bits)) if bits[n // 8] >> n % 8 & 1}
    return wanted - set(range(start, start + 8 * len(bits))) | said


@given(steps, st.sets(places), st.integers(0, BOUND))
def test_claims_are_a_set_of_seqs_as_far_as_they_are_kept(
    told: list[tuple[str, int, int, bytes]], ours: set[int], end: int
) -> None:
    claims, wanted, held = Claims(), set[int](), Held()
    held.add_all(sorted(ours))
    for step in told:
        wanted = apply(claims, wanted, *step)
        assert [seq for seq in range(BOUND) if seq in claims] == [seq for seq in range(BOUND) if seq in wanted]
    assert list(claims.lacking(held, end)) == [seq for seq in range(end) if seq in wanted and seq not in ours]


def test_a_claim_far_beyond_the_bound_is_dropped() -> None:
    claims = Claims()
    claims.add(2**38, 2**38 + 1, BOUND)
    claims.replace(2**38, b"\xff", BOUND)
    assert 2**38 not in claims


def test_blocks_far_beyond_a_gap_are_found() -> None:
    claims = Claims()
    claims.add(100_000, 100_003, 200_000)
    assert list(claims.lacking(Held(), 200_000)) == [100_000, 100_001, 100_002]
