"""What a peer can say that it should not: each is refused by name, or does no harm."""

from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crow_plugins.feed import messages
from crow_plugins.feed.capability import BadCapability
from crow_plugins.feed.channels import Message, Open
from crow_plugins.feed.conflict import from_nothing as proof_of
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import (
    BadProof,
    BadRequest,
    BadSignature,
    Malformed,
    OverLimit,
    RemoteProtocolError,
    Unanchored,
)
from crow_plugins.feed.exchange import Forked
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.limits import (
    INVALID_REQUESTS_MAX,
    LENGTH_MAX,
    REQUESTS_AT_FIRST_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    REQUESTS_QUEUED_MAX,
    TELLINGS_MAX,
    UNASKED_MAX,
    WANTS_QUEUED_MAX,
)
from crow_plugins.feed.messages import (
    INVALID_REQUEST,
    NOT_AVAILABLE,
    Bitfield,
    Cancel,
    Data,
    FeedMessage,
    NoData,
    Range,
    Request,
    Sync,
    Want,
)
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from tests.feed.exchanging import (
    Link,
    Stranger,
    append,
    blocks_of,
    copied,
    copy_of,
    feed_of,
    from_nothing,
    numbered,
    truncate,
)

HERE = Sync(0, 20, 0, has_manifest=True)
NEXT = ProofRequest(block=BlockRequest(20, 0), upgrade=UpgradeRequest(20, 1))


def block(index: int, levels: int = 0) -> ProofRequest:
    return ProofRequest(block=BlockRequest(index, levels))


def requests(heard: list[FeedMessage]) -> list[Request]:
    return [each for each in heard if isinstance(each, Request)]


def answer(feed: Feed, request: Request) -> Data:
    return Data(request.id, feed.prove(request.wanted))


def encoded(said: Sequence[FeedMessage]) -> list[tuple[int, bytes]]:
    """To compare: what was read has tuples where what was made has lists."""
    return [messages.encode(each) for each in said]


def asked_for_blocks(feed: Feed) -> tuple[Stranger, list[Request]]:
    """A peer of whom an empty copy has asked for all blocks."""
    stranger = Stranger(copy_of(feed))
    length = feed.head.length
    [upgrade] = requests(stranger.says(Sync(0, length, 0, has_manifest=True), Range(0, length)))
    return stranger, requests(stranger.says(answer(feed, upgrade)))


FEED = feed_of(1, *numbered(20))
GROWN = feed_of(1, *numbered(20), b"more")


@pytest.mark.parametrize(
    "claim",
    [
        Range(0, LENGTH_MAX),
        Range(LENGTH_MAX - 1, 1),
        Range(1, LENGTH_MAX),
        Range(0, LENGTH_MAX, drop=True),
        Bitfield(LENGTH_MAX - 64, b"\xff" * 8),
        Want(0, LENGTH_MAX),
        Want(LENGTH_MAX, LENGTH_MAX),
        Sync(0, LENGTH_MAX, 0),
    ],
    ids=str,
)
def test_a_claim_costs_no_more_memory_than_is_of_use(claim: FeedMessage) -> None:
    stranger = Stranger(copied(FEED, [1, 5]))
    tracemalloc.start()
    stranger.says(claim, Range(5, 1, drop=True), claim)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22


def test_a_false_block_is_refused() -> None:
    stranger, asked = asked_for_blocks(FEED)
    first = FEED.prove(asked[0].wanted)
    assert first.block is not None
    false = BlockProof(0, b"false", first.block.nodes)
    with pytest.raises(BadProof):
        stranger.says(Data(asked[0].id, Proof(0, block=false)))
    with pytest.raises(BadProof):
        stranger.victim.session.next_event()


def test_a_block_that_leads_nowhere_is_refused_once_nothing_more_is_to_come() -> None:
    feed = feed_of(1, b"a", b"b")
    stranger, asked = asked_for_blocks(feed)
    stranger.says(Data(asked[0].id, feed.prove(block(0))))
    with pytest.raises(Unanchored):
        stranger.says(Data(asked[1].id, feed.prove(block(1))))


def test_a_head_that_the_writer_did_not_sign_is_refused() -> None:
    stranger = Stranger(copy_of(FEED))
    [upgrade] = requests(stranger.says(HERE))
    other = feed_of(2, *numbered(20))
    signed = other.prove(upgrade.wanted)
    with pytest.raises(BadSignature):
        stranger.says(Data(upgrade.id, Proof(0, upgrade=signed.upgrade, manifest=FEED.encoded_manifest)))


def test_a_longer_head_that_does_not_continue_the_feed_is_refused_if_the_feed_is_the_same_so_far() -> None:
    copy, longer = copied(FEED), copied(FEED)
    stranger = Stranger(copy)
    append(grown := feed_of(1, *numbered(20)), 1, b"more")
    [upgrade] = requests(stranger.says(Sync(0, 21, 20)))
    good = grown.prove(upgrade.wanted).upgrade
    assert good is not None
    false = Proof(0, upgrade=type(good)(20, 1, good.nodes, (), b"\1\0" + bytes(64) + b"\0\0"))
    [compare] = requests(stranger.says(Data(upgrade.id, false)))
    assert compare.wanted == proof_of(20)
    with pytest.raises(BadProof):
        stranger.says(answer(longer, compare))


def test_too_many_requests_without_an_answer_are_refused() -> None:
    stranger = Stranger(FEED)
    exchange = stranger.victim.session
    flood = [Message(stranger.channel, *messages.encode(Request(n, 0, block(0)))) for n in range(REQUESTS_QUEUED_MAX)]
    exchange.receive_data(stranger.wire.send(*flood))
    stranger.victim.hear()
    exchange.receive_data(stranger.wire.send(Message(stranger.channel, *messages.encode(Request(9999, 0, block(0))))))
    with pytest.raises(OverLimit):
        stranger.victim.hear()


def test_requests_that_cannot_be_are_declined_and_after_many_refused() -> None:
    stranger = Stranger(FEED)
    bad = [Request(n, 0, block(20 + n)) for n in range(1, INVALID_REQUESTS_MAX + 2)]
    assert stranger.says(*bad[:-1]) == [NoData(request.id, INVALID_REQUEST) for request in bad[:-1]]
    with pytest.raises(BadRequest):
        stranger.says(bad[-1])


def test_answers_that_nobody_asked_for_are_dropped_and_after_many_refused() -> None:
    stranger = Stranger(copied(FEED, []))
    unasked = [Data(1000 + n, FEED.prove(block(n % 20))) for n in range(UNASKED_MAX + 1)]
    stranger.says(*unasked[:-1])
    assert stranger.victim.stored == []
    with pytest.raises(OverLimit):
        stranger.says(unasked[-1])


@pytest.mark.parametrize("wanted", [block(20), ProofRequest(upgrade=UpgradeRequest(20, 1)), block(3)])
def test_only_the_next_block_with_the_head_over_it_is_taken_unasked(wanted: ProofRequest) -> None:
    stranger = Stranger(copied(FEED), allow_push=True)
    stranger.says(Data(0, GROWN.prove(wanted)))
    assert stranger.victim.stored == []


def test_a_pushed_block_that_its_writer_did_not_sign_is_refused() -> None:
    append(false := feed_of(1, *numbered(20)), 1, b"false")
    proof = GROWN.prove(NEXT)
    assert proof.block is not None
    stranger = Stranger(copied(FEED), allow_push=True)
    [compare] = requests(
        stranger.says(Sync(0, 21, 20), Data(0, Proof(0, block=BlockProof(20, b"false", ()), upgrade=proof.upgrade)))
    )
    assert stranger.victim.stored == []
    assert compare.wanted == proof_of(20)
    with pytest.raises(BadProof):
        stranger.says(answer(false, compare))


def test_too_many_gaps_told_at_once_are_refused() -> None:
    stranger = Stranger(FEED)
    with pytest.raises(OverLimit):
        stranger.says(*[Range(n, 1, drop=True) for n in range(TELLINGS_MAX + 1)])


def test_one_question_for_what_is_held_gets_one_answer_however_often_it_is_put() -> None:
    stranger = Stranger(copied(FEED, [0, 2]))
    heard = stranger.says(*[Want(0, 2**21)] * 5000)
    assert heard == [Bitfield(0, b"\5\0\0\0")]


def test_too_many_questions_for_what_is_held_are_refused() -> None:
    stranger = Stranger(FEED)
    with pytest.raises(OverLimit):
        stranger.says(*[Want(n, 32) for n in range(WANTS_QUEUED_MAX + 1)])


def test_a_bitfield_that_begins_within_a_byte_is_refused() -> None:
    with pytest.raises(Malformed):
        Stranger(FEED).says(Bitfield(3, b"\1\1\1\1"))


def test_a_peer_that_does_not_know_the_key_is_refused() -> None:
    stranger = Stranger(FEED, opens=False)
    with pytest.raises(BadCapability):
        stranger.carry(stranger.wire.send(Open(stranger.channel, b"\1" + bytes(32))))


def test_a_head_that_is_refused_is_not_asked_for_again_before_the_peer_says_something_new() -> None:
    stranger = Stranger(copy_of(FEED))
    [upgrade] = requests(stranger.says(HERE))
    assert requests(stranger.says(NoData(upgrade.id, NOT_AVAILABLE))) == []
    assert requests(stranger.says(Range(0, 20))) == []
    assert len(requests(stranger.says(HERE))) == 1


def test_the_head_of_another_branch_that_is_refused_is_not_asked_for_again() -> None:
    stranger = Stranger(copied(FEED))
    [upgrade] = requests(stranger.says(Sync(4, 20, 0)))
    assert requests(stranger.says(NoData(upgrade.id, NOT_AVAILABLE), Range(0, 5))) == []


def test_blocks_that_counted_on_one_that_is_not_given_are_asked_for_again() -> None:
    stranger, asked = asked_for_blocks(FEED)
    answers: list[FeedMessage] = [answer(FEED, request) for request in asked[1:]]
    again = requests(stranger.says(NoData(asked[0].id, NOT_AVAILABLE), *answers))
    assert [request.wanted.block.index for request in again if request.wanted.block] == list(range(1, 16))
    stranger.says(*(answer(FEED, request) for request in again))
    assert stranger.victim.feeds[FEED.key].storage.held().bits(0, 24) == b"\xfe\xff\x0f"


def test_the_peer_of_a_search_may_go_to_yet_another_branch() -> None:
    copy = copied(FEED)
    branch = feed_of(1, *numbered(9), *numbered(11, b"other"))
    truncate(branch, 1, 20, 3)
    stranger = Stranger(copy)
    [upgrade] = requests(stranger.says(Sync(3, 20, 0)))
    [search] = requests(stranger.says(answer(branch, upgrade)))
    assert search.wanted.hash is not None
    truncate(branch, 1, 12, 5)
    heard = requests(stranger.says(Sync(5, 12, 0), Data(search.id, branch.prove(ProofRequest(hash=HashRequest(0, 2))))))
    [upgrade] = heard
    assert (upgrade.fork, upgrade.wanted) == (5, proof_of(12))


def test_evidence_that_nobody_asked_for_is_taken() -> None:
    other = feed_of(1, *numbered(19), b"another")
    stranger = Stranger(copied(FEED))
    stranger.says(Data(0, other.prove(from_nothing(other))))
    assert any(isinstance(event, Forked) for event in stranger.victim.events)


def test_a_feed_with_two_branches_shows_its_head_and_gives_no_blocks_but_those_of_both() -> None:
    other = feed_of(1, *numbered(19), b"another")
    stranger = Stranger(copied(FEED))
    stranger.says(Data(0, other.prove(from_nothing(other))))
    heard = stranger.says(Request(1, 0, block(16)), Request(0, 0, proof_of(20)), Request(2, 0, block(15)))
    assert encoded(heard) == encoded(
        [NoData(1, NOT_AVAILABLE), Data(0, FEED.prove(proof_of(20))), Data(2, FEED.prove(block(15)))]
    )


def test_a_request_that_is_taken_back_gets_no_answer() -> None:
    heard = Stranger(FEED).says(Request(1, 0, block(3)), Request(2, 0, block(4)), Cancel(1))
    assert encoded(heard) == encoded([Data(2, FEED.prove(block(4)))])


def test_hashes_and_places_of_bytes_are_answered() -> None:
    wanted = [ProofRequest(hash=HashRequest(7, 1)), ProofRequest(seek=SeekRequest(50), upgrade=proof_of(20).upgrade)]
    heard = Stranger(FEED).says(*(Request(1 + n, 0, each) for n, each in enumerate(wanted)))
    assert encoded(heard) == encoded([Data(1 + n, FEED.prove(each)) for n, each in enumerate(wanted)])


def test_more_blocks_are_asked_for_the_more_come_and_never_more_than_fit_between_two_peers() -> None:
    feed = feed_of(1, *numbered(9000))
    stranger = Stranger(copy_of(feed))
    [upgrade] = requests(stranger.says(Sync(0, 9000, 0, has_manifest=True), Range(0, 9000)))
    under_way = requests(stranger.says(answer(feed, upgrade)))
    assert len(under_way) == REQUESTS_AT_FIRST_MAX
    most = 0
    while under_way:
        most = max(most, len(under_way))
        under_way = requests(stranger.says(*(answer(feed, request) for request in under_way)))
    assert most == REQUESTS_IN_FLIGHT_MAX
    large = feed_of(1, *[b"x" * 2**20] * 40)
    stranger = Stranger(copy_of(large))
    [upgrade] = requests(stranger.says(Sync(0, 40, 0, has_manifest=True), Range(0, 40)))
    assert len(requests(stranger.says(answer(large, upgrade)))) == 15


numbers = st.one_of(st.integers(0, 40), st.integers(0, 2**39))
wanteds = st.builds(
    ProofRequest,
    block=st.none() | st.builds(BlockRequest, numbers, st.integers(0, 50)),
    seek=st.none() | st.builds(SeekRequest, numbers, numbers),
    upgrade=st.none() | st.builds(UpgradeRequest, numbers, numbers),
    manifest=st.booleans(),
)
nodes = st.lists(st.builds(Node, numbers, numbers, st.binary(min_size=32, max_size=32)), max_size=4)
ids = st.integers(0, 30)
forks = st.integers(0, 2)
proofs = st.builds(
    Proof,
    forks,
    block=st.none() | st.builds(BlockProof, st.integers(0, 40), st.binary(max_size=20), nodes),
    hash=st.none() | st.builds(HashProof, st.integers(0, 80), nodes),
    seek=st.none() | st.builds(SeekProof, numbers, nodes),
    upgrade=st.none()
    | st.builds(UpgradeProof, st.integers(0, 40), st.integers(0, 40), nodes, nodes, st.binary(max_size=80)),
    manifest=st.none() | st.just(FEED.encoded_manifest) | st.binary(max_size=80),
)
anything = st.one_of(
    st.builds(Sync, forks, numbers, numbers, st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    st.builds(Request, ids, forks, wanteds),
    st.builds(Data, ids, proofs),
    st.builds(Data, ids, st.sampled_from([FEED.prove(block(n, 2)) for n in range(8)])),
    st.builds(Data, ids, st.just(FEED.prove(from_nothing(FEED)))),
    st.builds(Data, ids, st.just(GROWN.prove(NEXT))),
    st.builds(NoData, ids, st.integers(0, 2)),
    st.builds(Want, numbers, numbers, st.booleans()),
    st.builds(Range, numbers, numbers, st.booleans()),
    st.builds(Bitfield, numbers, st.binary(max_size=8)),
    st.builds(Cancel, ids),
)


def _survives(copy: Feed, say: Callable[[Stranger], object]) -> None:
    with contextlib.suppress(RemoteProtocolError):
        say(Stranger(copy, allow_push=True))
    copy.check()
    assert [copy.block(seq) for seq in range(copy.head.length) if seq in copy.storage.held()] == [
        each for seq, each in enumerate(blocks_of(GROWN)) if seq in copy.storage.held()
    ]


@settings(max_examples=150)
@given(st.sampled_from([None, [], [0, 3]]), st.lists(anything, max_size=8))
def test_whatever_a_peer_says_is_its_fault_or_harmless(seqs: list[int] | None, said: list[FeedMessage]) -> None:
    copy = copy_of(FEED) if seqs is None else copied(FEED, seqs)
    _survives(copy, lambda stranger: [stranger.says(each) for each in (HERE, *said)])


@settings(max_examples=150)
@given(st.integers(0, 9), st.binary(max_size=60))
def test_whatever_bytes_a_peer_sends_are_its_fault_or_harmless(type: int, payload: bytes) -> None:
    _survives(
        copied(FEED, [2]),
        lambda stranger: stranger.carry(stranger.wire.send(Message(stranger.channel, type, payload))),
    )


def test_an_answer_with_which_another_peer_was_faster_is_no_lie() -> None:
    feed = feed_of(1, b"the first block")
    copy = copy_of(feed)
    stranger = Stranger(copy)
    [asked] = requests(stranger.says(Sync(0, 1, 0, has_manifest=True), Range(0, 1)))
    assert asked.wanted.block is not None
    faster = Link()
    faster.alice.has(feed)
    faster.bob.has(copy)
    faster.run()
    stranger.says(answer(feed, asked))
    assert copy.head == feed.head
