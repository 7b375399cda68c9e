"""One feed between two peers: what each has, what is asked for, and the answers.

Both sides do the same at once. Each says how long its copy is and which blocks it holds; the shorter one asks for the
longer head, then for the blocks, in order and many at a time, so that the link is never idle; the other answers in the
order of the asking. What was asked for stands in memory here; what is held is read from the feed whenever something is
worked out. A copy taken before `work` is what to go on with if that transaction rolls back.

`take` files a message and touches no storage; `work` does all that the filed messages call for.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from crow_plugins.feed import flat_tree
from crow_plugins.feed.answering import Answering
from crow_plugins.feed.asking import Asking
from crow_plugins.feed.claims import Claims
from crow_plugins.feed.conflict import Conflict, from_nothing
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import BadProof, BadSignature, NotHeld, OutOfDate, OverLimit
from crow_plugins.feed.head import Prefix
from crow_plugins.feed.limits import (
    ANSWER_BYTES_MAX,
    BITFIELD_WORDS_MAX,
    CLAIMS_BEYOND_MAX,
    IN_FLIGHT_BYTES_MAX,
    LENGTH_MAX,
    REQUESTS_AT_FIRST_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    TELLINGS_MAX,
)
from crow_plugins.feed.messages import Bitfield, Cancel, Data, FeedMessage, NoData, Range, Request, Sync, Want
from crow_plugins.feed.proof import BlockProof, BlockRequest, Proof, ProofRequest, UpgradeRequest
from crow_plugins.feed.reorganisation import Reorganisation
from crow_plugins.feed.storage import Batch

SEGMENT = 32 * BITFIELD_WORDS_MAX  # blocks: what one `Want` asks about

Store = Callable[[Feed, Batch], None]


@dataclass(frozen=True, slots=True)
class FeedOpened:
    """Both sides have the feed, and each has shown that it knows the key."""

    key: bytes


@dataclass(frozen=True, slots=True)
class FeedClosed:
    """The peer has ended the exchange of a feed that was open; it may ask for it again."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Grew:
    """Blocks or a longer head of a feed were stored."""

    key: bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """The peer says how long its copy of a feed is, and at which fork."""

    key: bytes
    fork: int
    length: int


@dataclass(frozen=True, slots=True)
class Forked:
    """The peer holds another feed under this key, signed by the same writer: the evidence."""

    key: bytes
    conflict: Conflict


FeedEvent = FeedOpened | FeedClosed | Grew | Announced | Forked


@dataclass(frozen=True, slots=True)
class Share:
    """What one feed may take of a connection's bounds while others want theirs."""

    requests: int = REQUESTS_IN_FLIGHT_MAX
    request_bytes: int = IN_FLIGHT_BYTES_MAX
    answer_bytes: int = ANSWER_BYTES_MAX


WHOLE = Share()


@dataclass(slots=True)
class Peer:
    """What is known of the peer's copy."""

    sync: Sync | None = None
    claims: Claims = field(default_factory=Claims)
    wanted: set[int] = field(default_factory=set)  # segments that it was asked about
    refused: bool = False  # to give the head that it says it has; until it says something else
    lacks_hashes: bool = False  # it gave that, and not yet what leads there
    begins_right: bool = False  # of a feed whose prefix is decided: the peer has shown that its copy begins with it


class Exchange:
    """This side of one feed's exchange with one peer."""

    def __init__(self, key: bytes, *, upload: bool = True, push: bool = False, allow_push: bool = False) -> None:
        """With `upload` off nothing is told or given of the feed, only taken.

        With `push` a peer that allows it is sent a new block before it asks; `allow_push`: so may the peer send us.
        """
        self.key, self.upload, self.push, self.allow_push = key, upload, push, allow_push
        self._peer = Peer()
        self._filed: deque[FeedMessage] = deque()
        self._tellings = 0  # of those that are filed
        self._asking, self._answering = Asking(), Answering()
        self._search: Reorganisation | None = None
        self._said: Sync | None = None
        self._said_contiguous = 0
        self._pushed = (0, 0)  # fork, and the length that the peer has if all that was pushed came
        self._probed: tuple[int, int] | None = None
        self._must_compare = False  # a longer head did not fit: a false proof, or the head of another branch
        self._at: tuple[int, Prefix | None, bool | None] | None = None  # all of this is of that branch
        self._moved = False  # to another branch that may be of the same fork
        self._both: int | None = None  # of two branches, ours and the peer's: the blocks that are shown to be in both
        self._window = REQUESTS_AT_FIRST_MAX  # grows with what comes

    def anew(self) -> Exchange:
        """For the same feed and the same peer, from the beginning."""
        return Exchange(self.key, upload=self.upload, push=self.push, allow_push=self.allow_push)

    def copy(self) -> Exchange:
        """As it is now, whatever becomes of this one. What the peer claims is shared: to hear it twice is no harm."""
        twin = copy.copy(self)
        twin._peer = copy.copy(self._peer)
        twin._peer.wanted = set(self._peer.wanted)
        twin._filed = deque(self._filed)
        twin._asking, twin._answering = self._asking.copy(), self._answering.copy()
        twin._search = copy.copy(self._search)
        return twin

    @property
    def has_work(self) -> bool:
        """Whether another call would do more without new messages."""
        return bool(self._filed or self._answering)

    @property
    def will_store(self) -> bool:
        """Whether blocks or proofs are filed."""
        return any(isinstance(message, Data) for message in self._filed)

    @property
    def _is_frozen(self) -> bool:
        """Whether the peer has another branch than we: nothing is taken or given but what is in both."""
        return self._both is not None

    @property
    def is_behind(self) -> bool:
        """Whether something is still on its way here."""
        return bool(self._asking.open or self._asking.waiting or self._search)

    @property
    def is_asked(self) -> bool:
        """Whether answers of ours are due."""
        return bool(self._answering)

    def take(self, message: FeedMessage) -> None:
        """File what came. Raises `OverLimit` for more than anybody honest sends."""
        if isinstance(message, Data):  # nearly all that comes while there is much to take
            self._filed.append(message)
            return
        match message:
            case Request():
                self._answering.take(message)
            case Cancel():
                self._answering.cancel(message.request)
            case Want():
                self._answering.take_want(message)
            case Sync() | NoData() | Range() | Bitfield():
                self._tellings += isinstance(message, Bitfield) or (isinstance(message, Range) and message.drop)
                if self._tellings > TELLINGS_MAX:
                    raise OverLimit("what is told of gaps at once", TELLINGS_MAX)
                self._filed.append(message)
            case _:
                pass

    def work(self, feed: Feed, store: Store, share: Share = WHOLE) -> tuple[list[FeedMessage], list[FeedEvent]]:
        """Do what the filed messages call for; returns what to say, and what happened.

        Reads and stores within the caller's transaction. Raises a `RemoteProtocolError`, and then nothing of it may
        be committed.
        """
        self._look(feed)
        say: list[FeedMessage] = []
        events = list(self._heard(feed, store, say))
        self._look(feed)
        budget = share.answer_bytes
        say += self._answering.answers(feed, budget, upload=self.upload, end=self._both)
        say += self._questions(feed, share)
        return [*self._state(feed), *self._pushes(feed), *say], events

    def _look(self, feed: Feed) -> None:
        """Begin anew where the feed has gone to another branch; that is what ends a freeze, too."""
        at = feed.head.fork, feed.prefix, feed.begins_right
        if self._at is not None and self._at != at:
            self._asking.forget()
            self._probed, self._must_compare, self._both = None, False, None
            self._peer.refused = False
            if feed.prefix is not None:  # it may be another branch of the same fork
                self._moved, self._search = True, None
                self._peer.begins_right &= self._at[1] == feed.prefix
        self._at = at

    # ---- what came ------------------------------------------------------------------------------

    def _heard(self, feed: Feed, store: Store, say: list[FeedMessage]) -> Iterator[FeedEvent]:
        blocks: list[Data] = []
        grew = False
        bound = feed.head.length + CLAIMS_BEYOND_MAX & ~7
        self._tellings = 0
        while self._filed:
            message = self._filed.popleft()
            if isinstance(message, Data):
                if _is_block(message.proof):
                    blocks.append(message)
                    continue
                grew |= self._blocks_came(feed, store, blocks)
                blocks = []
                outcome = self._data_came(feed, store, message)
                grew |= outcome is True
                if isinstance(outcome, Conflict):
                    say.append(Data(0, outcome.local))  # so that the peer has the evidence too
                    yield Forked(self.key, outcome)
            elif isinstance(message, Sync):
                yield self._sync_came(message)
            elif isinstance(message, NoData):
                self._not_given(message.request, bound)
            elif isinstance(message, Range | Bitfield):
                self._told(message, bound)
        if self._blocks_came(feed, store, blocks) or grew:
            yield Grew(self.key)

    def _sync_came(self, sync: Sync) -> Announced:
        known = self._peer.sync
        if known is not None and known.fork != sync.fork:
            self._peer = Peer()
            self._asking.forget()
            self._search = None
        self._peer.sync, self._peer.refused = sync, False
        return Announced(self.key, sync.fork, sync.length)

    def _told(self, message: Range | Bitfield, bound: int) -> None:
        claims, start = self._peer.claims, message.start
        if isinstance(message, Bitfield):
            claims.replace(start, message.bits, bound)
        else:
            tell = claims.remove if message.drop else claims.add
            tell(start, min(start + message.length, LENGTH_MAX), bound)
        if self._peer.lacks_hashes:  # they come with the blocks
            self._peer.refused = self._peer.lacks_hashes = False

    def _not_given(self, number: int, bound: int) -> None:
        """There will be no such answer: ask nobody for it again who has not said anything new."""
        asked = self._asking.not_given(number)
        if asked is None:
            return
        if asked.block is not None:
            self._peer.claims.remove(asked.block.index, asked.block.index + 1, bound)
        else:
            self._peer.refused, self._peer.lacks_hashes = True, asked.hash is not None
            self._search, self._must_compare = None, False

    def _blocks_came(self, feed: Feed, store: Store, messages: Sequence[Data]) -> bool:
        """Check and store blocks that came without a longer head."""
        if not messages:
            return False
        fork = feed.head.fork  # read once: it may cost a query
        if self._peer.begins_right and feed.begins_right and self._peer.sync is not None:
            fork = self._peer.sync.fork
        proofs = [proof for message in messages if (proof := self._block_asked_for(fork, message)) is not None]
        if not proofs:
            return False
        self._window = min(REQUESTS_IN_FLIGHT_MAX, self._window + len(proofs))
        received = feed.receive_blocks(feed.head.fork, [*self._asking.waiting, *proofs])
        self._asking.wait(received.waiting)
        store(feed, received.batch)
        return True

    def _block_asked_for(self, fork: int, message: Data) -> BlockProof | None:
        asked, block = self._asking.answered(message.request), message.proof.block
        if asked is None or asked.block is None or block is None or message.proof.fork != fork:
            return None
        return block if asked.block.index == block.index else None

    def _data_came(self, feed: Feed, store: Store, message: Data) -> bool | Conflict | None:
        """A longer head, hashes of a search, or the proof of a fork: whether something was stored, or the evidence."""
        proof = message.proof
        if message.request == 0 and self._is_next_pushed(feed, proof):
            return self._received(feed, store, proof)
        asked = self._asking.answered(message.request)
        if self._is_frozen and proof.fork <= feed.head.fork:
            return None
        if feed.prefix is not None and asked is not None and asked.upgrade == UpgradeRequest(0, feed.prefix.length):
            return self._prefix_came(feed, store, proof)
        if self._search is not None and proof.hash is not None and asked is not None:
            return self._searched(feed, store, proof)
        if proof.fork == feed.head.fork and _is_comparison(asked, proof, feed):
            return self._compared(feed, proof)
        if asked is None:
            return None
        if proof.fork > feed.head.fork:
            self._search = feed.reorganise(proof)
            return self._found(feed, store)
        return self._received(feed, store, proof)

    def _is_next_pushed(self, feed: Feed, proof: Proof) -> bool:
        """Whether it is the block that comes next, sent before it was asked for; with any other there is no hurry."""
        head, block, upgrade = feed.head, proof.block, proof.upgrade
        if not self.allow_push or self._is_frozen or self._must_compare or block is None or upgrade is None:
            return False
        return head.length > 0 and (proof.fork, upgrade.start, upgrade.length, block.index) == (
            *(head.fork, head.length, 1, head.length),
        )

    def _received(self, feed: Feed, store: Store, proof: Proof) -> bool:
        try:
            batch = feed.receive(proof)
        except OutOfDate:
            return False
        except (BadProof, BadSignature):
            if proof.upgrade is None or feed.head.length == 0:
                raise
            self._probed, self._must_compare = None, True
            return False
        store(feed, batch)
        if batch.head is not None:  # so far the two are one
            self._probed = batch.head.fork, batch.head.length
        return True

    def _prefix_came(self, feed: Feed, store: Store, proof: Proof) -> bool:
        """How the peer's copy begins. One that begins in another way is no fault of the peer."""
        if not feed.shows_prefix(proof):
            self._peer.refused = True
            return False
        self._peer.begins_right = True
        if feed.begins_right:
            return False
        self._search = feed.take_prefix(proof)
        return self._found(feed, store)

    def _searched(self, feed: Feed, store: Store, proof: Proof) -> bool:
        assert self._search is not None
        if not self._search.holds(feed.head, proof.fork):
            self._search = None
            return False
        self._search.storage = feed.storage
        self._search.receive(proof)
        return self._found(feed, store)

    def _found(self, feed: Feed, store: Store) -> bool:
        """Follow the writer to its other branch once the last common block is known."""
        assert self._search is not None
        if not self._search.finished:
            return False
        store(feed, self._search.batch)
        self._search = None
        self._look(feed)
        return True

    def _compared(self, feed: Feed, proof: Proof) -> Conflict | None:
        """Whether the peer's feed and ours are one. Raises `BadProof` if it had failed before and they are."""
        if feed.prefix is not None:
            return None
        try:
            found = feed.conflict(proof)
        except (OutOfDate, NotHeld):
            return None
        if found is not None:
            self._both = found.common
            self._asking.forget()
        elif self._must_compare:
            raise BadProof("its longer head does not continue the feed")
        return found

    # ---- what we ask ----------------------------------------------------------------------------

    def _questions(self, feed: Feed, share: Share) -> Iterator[FeedMessage]:
        sync, head = self._peer.sync, feed.head
        if sync is None or not sync.uploading:
            return
        if feed.prefix is not None:
            yield from self._of_prefix(feed, feed.prefix, sync, share)
        elif sync.fork > head.fork and not self._peer.refused:
            yield from self._follow(feed, sync)
        elif sync.fork == head.fork:
            if not self._is_frozen and not self._peer.refused:
                yield from self._compare(feed, sync)
                yield from self._upgrade(feed, sync)
            yield from self._blocks(feed, sync, share, head.length if self._both is None else self._both)

    def _of_prefix(self, feed: Feed, prefix: Prefix, sync: Sync, share: Share) -> Iterator[FeedMessage]:
        """What a feed must begin with, from whoever begins with it, at any fork; nothing beyond it is wanted.

        A peer whose copy is shorter can prove nothing yet: ours may go on with it as long as nothing is proven here.
        """
        begins_right = feed.begins_right
        if sync.length < prefix.length:
            if begins_right is None and sync.fork == feed.head.fork and not self._peer.refused:
                yield from self._upgrade(feed, sync)
                yield from self._blocks(feed, sync, share, feed.head.length)
        elif begins_right and self._peer.begins_right:
            yield from self._blocks(feed, sync, share, prefix.length)
        elif not self._peer.refused and not self._asking.asks_for_head:
            searched = self._search.request if self._search is not None else None
            upgrade = UpgradeRequest(0, prefix.length) if searched is None else None
            manifest = upgrade is not None and feed.manifest is None and sync.has_manifest
            yield self._asking.ask(sync.fork, ProofRequest(hash=searched, upgrade=upgrade, manifest=manifest))

    def _follow(self, feed: Feed, sync: Sync) -> Iterator[Request]:
        if self._search is not None and not self._search.holds(feed.head, sync.fork):
            self._search = None
        if self._search is not None and self._search.request is not None:
            wanted = ProofRequest(hash=self._search.request)
        elif sync.length:
            manifest = feed.manifest is None and sync.has_manifest
            wanted = ProofRequest(upgrade=UpgradeRequest(0, sync.length), manifest=manifest)
        else:
            return
        if not self._asking.asks_for_head:
            yield self._asking.ask(sync.fork, wanted)

    def _compare(self, feed: Feed, sync: Sync) -> Iterator[Request]:
        """Once at the beginning, and when a longer head did not fit: are these two copies of one feed?"""
        head = feed.head
        length = min(sync.length, head.length)
        is_due = self._must_compare or (self._probed is None and sync.length <= head.length)
        if length and is_due and self._probed != (head.fork, length):
            self._probed = head.fork, length
            length = feed.comparable(length)
            if length:
                yield self._asking.ask(head.fork, from_nothing(length))

    def _upgrade(self, feed: Feed, sync: Sync) -> Iterator[Request]:
        """The longer head; with the next block, when that is all there is to have."""
        head = feed.head
        if sync.length <= head.length or self._must_compare or self._asking.asks_for_head:
            return
        upgrade = UpgradeRequest(head.length, sync.length - head.length)
        alone = sync.length == head.length + 1 and not self._asking.open and head.length in self._peer.claims
        block = BlockRequest(head.length, 0) if alone else None
        manifest = feed.manifest is None and sync.has_manifest
        yield self._asking.ask(head.fork, ProofRequest(block=block, upgrade=upgrade, manifest=manifest))

    def _blocks(self, feed: Feed, sync: Sync, share: Share, end: int) -> Iterator[FeedMessage]:
        """Blocks that the peer holds and can prove, and we do not hold, the lowest first, as many as the link takes.

        Those before `end`, up to which the peer's copy is the same as ours or the one to be taken.
        """
        head, held = feed.head, feed.storage.held()
        if held.contiguous >= end:
            return
        yield from self._wants(max(held.contiguous, self._peer.claims.reach), end)
        mean = head.byte_length // head.length + 1
        room = max(1, min(share.requests, self._window, share.request_bytes // mean)) - len(self._asking.open)
        if room > 0:
            known = self._asking.seqs | {block.index for block in self._asking.waiting}
            lacking = (
                seq
                for span in feed.provable_by(min(sync.length, end))
                for seq in self._peer.claims.lacking(held, span.stop, span.start)
                if seq not in known
            )
            yield from self._asking.ask_blocks(feed, sync.fork, list(islice(lacking, room)))

    def _wants(self, start: int, end: int) -> Iterator[Want]:
        """Ask a peer with gaps which blocks it has, one stretch after another: unasked it does not tell."""
        for segment in range(start // SEGMENT, -(-end // SEGMENT) if start < end else 0):
            if segment not in self._peer.wanted:
                self._peer.wanted.add(segment)
                yield Want(segment * SEGMENT, SEGMENT)
                return

    # ---- where we stand -------------------------------------------------------------------------

    def _state(self, feed: Feed) -> list[FeedMessage]:
        """Our own state, whenever it is another than was said last."""
        say: list[FeedMessage] = []
        head, sync = feed.head, self._peer.sync
        agree = sync is not None and sync.fork == head.fork
        state = Sync(
            fork=head.fork,
            length=head.length,
            remote_length=sync.length if sync is not None and agree else 0,
            can_upgrade=self._can_upgrade(feed, sync.length if sync is not None else 0, agree or sync is None),
            uploading=self.upload,
            downloading=True,
            has_manifest=feed.manifest is not None,
            allow_push=self.allow_push,
        )
        if self._said is not None and self._said.uploading != state.uploading:
            self._said_contiguous = 0
        if self._said is not None and (
            self._moved or self._said.fork != state.fork or state.length < self._said.length
        ):
            start = feed.storage.held().contiguous if self._moved else head.length
            length = max(0, self._said_contiguous - start)
            if length and self.upload:
                say.append(Range(start, length, drop=True))
            self._said_contiguous = 0
            self._said = None if self._moved else self._said
        self._moved = False
        if state != self._said:
            say.append(state)
            self._said = state
        contiguous = feed.storage.held().contiguous
        if self.upload and contiguous > self._said_contiguous:
            say.append(Range(0, contiguous))
            self._said_contiguous = contiguous
        return say

    def _pushes(self, feed: Feed) -> Iterator[Data]:
        """The block that was just written, to a peer that has all before it: there a round trip sooner."""
        head, sync = feed.head, self._peer.sync
        if not self.push or not self.upload or self._is_frozen or sync is None or sync.fork != head.fork:
            return
        pushed = self._pushed[1] if self._pushed[0] == head.fork else 0
        start = max(sync.length, pushed)
        self._pushed = head.fork, head.length
        if sync.allow_push and sync.downloading and 0 < start == head.length - 1:
            yield Data(0, feed.prove(ProofRequest(block=BlockRequest(start, 0), upgrade=UpgradeRequest(start, 1))))

    def _can_upgrade(self, feed: Feed, length: int, agree: bool) -> bool:
        if not agree:
            return False
        if length == 0:
            return True
        roots = flat_tree.roots(length)
        return length < feed.head.length and len(feed.storage.nodes(roots)) == len(roots)


def _is_block(proof: Proof) -> bool:
    return proof.block is not None and not (proof.upgrade or proof.hash or proof.seek or proof.manifest)


def _is_comparison(asked: ProofRequest | None, proof: Proof, feed: Feed) -> bool:
    """Whether it shows the whole tree of a feed that has some of it already; unasked, it is meant as evidence."""
    if proof.upgrade is None or proof.block is not None or feed.head.length == 0:
        return False  # with a block it was asked for while the feed was empty, and another peer was faster
    return asked is None or (asked.upgrade is not None and asked.upgrade.start == 0)
