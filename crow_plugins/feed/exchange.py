"""One feed between two peers: what each has, what is asked for, and the answers.

Both sides do the same at once. Each says how long its copy is and which blocks it holds; the shorter one asks for the
longer head, then for the blocks, in order and many at a time, so that the link is never idle; the other answers in the
order of the asking. What was asked for stands in memory here; what is held is read from the feed whenever something is
worked out. So a caller whose transaction rolled back has a storage that is right and an exchange that is not: it ends
the connection and begins a new one.

`take` files a message and touches no storage; `work` does all that the filed messages call for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from crow_plugins.feed import flat_tree
from crow_plugins.feed.conflict import Conflict, from_nothing
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import BadProof, BadRequest, BadSignature, NotHeld, OutOfDate, OverLimit, Unanchored
from crow_plugins.feed.held import Held
from crow_plugins.feed.limits import (
    ANSWER_BYTES_MAX,
    BITFIELD_WORDS_MAX,
    IN_FLIGHT_BYTES_MAX,
    INVALID_REQUESTS_MAX,
    LENGTH_MAX,
    REQUESTS_IN_FLIGHT_MAX,
    REQUESTS_QUEUED_MAX,
    UNASKED_MAX,
    WAITING_MAX,
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
from crow_plugins.feed.proof import BlockProof, BlockRequest, Proof, ProofRequest, UpgradeRequest
from crow_plugins.feed.reorganisation import Reorganisation
from crow_plugins.feed.storage import Batch

WORDS_SAID = 1024  # of a bitfield in one message: 32,768 blocks

Store = Callable[[Feed, Batch], None]


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


FeedEvent = Grew | Announced | Forked


@dataclass(slots=True)
class Peer:
    """What is known of the peer's copy."""

    sync: Sync | None = None
    blocks: Held = field(default_factory=Held)
    gone: set[int] = field(default_factory=set)  # said to be here, and then not given


class Exchange:
    """This side of one feed's exchange with one peer."""

    def __init__(self, key: bytes, *, upload: bool = True) -> None:
        """With `upload` off nothing is told or given of the feed, only taken."""
        self.key, self.upload = key, upload
        self._peer = Peer()
        self._filed: deque[FeedMessage] = deque()
        self._requests: dict[int, Request] = {}
        self._asked: dict[int, ProofRequest] = {}
        self._seqs: set[int] = set()  # of the blocks that are asked for
        self._promised: set[int] = set()  # nodes that will come with them
        self._waiting: list[BlockProof] = []  # came before what they rest on
        self._search: Reorganisation | None = None
        self._said: Sync | None = None
        self._said_contiguous = 0
        self._probed: tuple[int, int] | None = None
        self._id = 0
        self._invalid = self._unasked = 0
        self._frozen = False
        self._must_compare = False  # a longer head did not fit: a false proof, or the head of another branch

    @property
    def is_idle(self) -> bool:
        """Whether nothing is filed, waits for an answer of ours, or is asked of the peer."""
        return not (self._filed or self._requests or self._asked)

    @property
    def will_store(self) -> bool:
        """Whether blocks or proofs are filed."""
        return any(isinstance(message, Data) for message in self._filed)

    @property
    def is_behind(self) -> bool:
        """Whether something is still on its way here."""
        return bool(self._asked or self._waiting or self._search)

    def take(self, message: FeedMessage) -> None:
        """File what came. Raises `OverLimit` for more than anybody honest sends."""
        if isinstance(message, Request) and len(self._requests) + len(self._filed) >= REQUESTS_QUEUED_MAX:
            raise OverLimit("unanswered requests", REQUESTS_QUEUED_MAX)
        self._filed.append(message)

    def work(self, feed: Feed, store: Store) -> tuple[list[FeedMessage], list[FeedEvent]]:
        """Do what the filed messages call for; returns what to say, and what happened.

        Reads and stores within the caller's transaction. Raises a `RemoteProtocolError`, and then nothing of it may
        be committed.
        """
        say: list[FeedMessage] = []
        events = list(self._heard(feed, store, say))
        if not self._frozen:
            say += self._answers(feed)
            say += self._questions(feed)
        return self._state(feed) + say, events

    @property
    def has_work(self) -> bool:
        """Whether another call would answer more requests."""
        return bool(self._filed or self._requests)

    def freeze(self) -> None:
        """Neither ask nor answer: which of two branches is the feed's is not known."""
        self._frozen = True
        self._asked.clear()
        self._requests.clear()

    # ---- what came ------------------------------------------------------------------------------

    def _heard(self, feed: Feed, store: Store, say: list[FeedMessage]) -> Iterator[FeedEvent]:
        blocks: list[Data] = []
        grew = False
        while self._filed:
            message = self._filed.popleft()
            if self._frozen and not isinstance(message, Sync):
                continue
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
            else:
                self._other_came(feed, message, say)
        if self._blocks_came(feed, store, blocks) or grew:
            yield Grew(self.key)

    def _sync_came(self, sync: Sync) -> Announced:
        if self._peer.sync is not None and self._peer.sync.fork != sync.fork:
            self._peer.blocks, self._peer.gone = Held(), set()
        self._peer.sync = sync
        return Announced(self.key, sync.fork, sync.length)

    def _other_came(self, feed: Feed, message: FeedMessage, say: list[FeedMessage]) -> None:
        match message:
            case Request():
                self._requests[message.id] = message
            case Cancel():
                self._requests.pop(message.request, None)
            case NoData():
                self._not_given(message.request)
            case Range(drop=False):
                self._peer.blocks.add(message.start, min(message.start + message.length, LENGTH_MAX))
            case Range():
                self._peer.gone.update(
                    range(message.start, min(message.start + message.length, message.start + 65_536))
                )
                if message.start < self._peer.blocks.contiguous:
                    self._peer.blocks.cut(message.start)
            case Bitfield():
                self._peer.blocks.add_all(_bits(message))
            case Want() if self.upload:
                say += _what_is_held(feed, message.start, message.length)

    def _not_given(self, number: int) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None and asked.block is not None:
            self._seqs.discard(asked.block.index)
            self._peer.gone.add(asked.block.index)
        if not self._asked:
            self._promised.clear()

    def _blocks_came(self, feed: Feed, store: Store, messages: Sequence[Data]) -> bool:
        """Check and store blocks that came without a longer head."""
        proofs = [proof for message in messages if (proof := self._block_asked_for(message)) is not None]
        if not proofs:
            return False
        try:
            received = feed.receive_blocks(messages[0].proof.fork, [*self._waiting, *proofs])
        except OutOfDate:  # asked before the feed changed
            self._waiting.clear()
            return False
        self._waiting = list(received.waiting)
        if len(self._waiting) > WAITING_MAX or (self._waiting and not self._asked):
            raise Unanchored(2 * self._waiting[0].index)
        store(feed, received.batch)
        if not self._asked:
            self._promised.clear()
        return True

    def _block_asked_for(self, message: Data) -> BlockProof | None:
        asked = self._asked.pop(message.request, None)
        block = message.proof.block
        assert block is not None
        if asked is None or asked.block is None or asked.block.index != block.index:
            self._nobody_asked()
            return None
        self._seqs.discard(block.index)
        return block

    def _data_came(self, feed: Feed, store: Store, message: Data) -> bool | Conflict | None:
        """A longer head, hashes of a search, or the proof of a fork: whether something was stored, or the evidence."""
        asked = self._asked.pop(message.request, None)
        if asked is not None and asked.block is not None:
            self._seqs.discard(asked.block.index)
        proof = message.proof
        if self._search is not None and proof.hash is not None and asked is not None:
            return self._searched(feed, store, proof)
        if proof.upgrade is not None and proof.fork == feed.head.fork and (asked is None or asked == self._probe(feed)):
            return self._compared(feed, proof)
        if asked is None:
            self._nobody_asked()
            return None
        if proof.fork > feed.head.fork:
            self._search = feed.reorganise(proof)
            return self._found(feed, store)
        return self._received(feed, store, proof)

    def _received(self, feed: Feed, store: Store, proof: Proof) -> bool:
        try:
            batch = feed.receive(proof)
        except OutOfDate:
            return False
        except (BadProof, BadSignature):
            if self._frozen or proof.upgrade is None or feed.head.length == 0:
                raise
            self._probed, self._must_compare = None, True
            return False
        store(feed, batch)
        return True

    def _searched(self, feed: Feed, store: Store, proof: Proof) -> bool:
        assert self._search is not None
        self._search.receive(proof)
        return self._found(feed, store)

    def _found(self, feed: Feed, store: Store) -> bool:
        """Follow the writer to its other branch once the last common block is known."""
        assert self._search is not None
        if not self._search.finished:
            return False
        store(feed, self._search.batch)
        self._search = None
        self._forget_what_was_asked()
        return True

    def _forget_what_was_asked(self) -> None:
        self._asked.clear()
        self._seqs.clear()
        self._promised.clear()
        self._waiting.clear()

    def _compared(self, feed: Feed, proof: Proof) -> Conflict | None:
        """Whether the peer's feed and ours are one. Raises `BadProof` if it had failed before and they are."""
        try:
            found = feed.conflict(proof)
        except (OutOfDate, NotHeld):
            return None
        if found is not None:
            self.freeze()
        elif self._must_compare:
            raise BadProof("its longer head does not continue the feed")
        return found

    def _nobody_asked(self) -> None:
        self._unasked += 1
        if self._unasked > UNASKED_MAX:
            raise OverLimit("answers that nobody asked for", UNASKED_MAX)

    # ---- what we answer -------------------------------------------------------------------------

    def _answers(self, feed: Feed) -> Iterator[FeedMessage]:
        """To as many requests as a few megabytes hold, in the order they came."""
        left = ANSWER_BYTES_MAX
        while self._requests and left > 0:
            taken = self._next_requests(feed)
            for answer in self._answers_to(feed, taken):
                left -= _size(answer)
                yield answer

    def _next_requests(self, feed: Feed) -> list[Request]:
        """Neighbouring requests for blocks together, since one reading of the storage does for them; or one other."""
        taken: list[Request] = []
        for request in list(self._requests.values()):
            plain = _is_plain(request, feed)
            if taken and not plain:
                break
            taken.append(self._requests.pop(request.id))
            if not plain or len(taken) == REQUESTS_IN_FLIGHT_MAX // 4:
                break
        return taken

    def _answers_to(self, feed: Feed, requests: Sequence[Request]) -> list[FeedMessage]:
        head = feed.head
        if not self.upload:
            return [NoData(request.id, NOT_AVAILABLE) for request in requests]
        if not _is_plain(requests[0], feed):
            return [self._answer(feed, requests[0])]
        wanted = [
            (request.wanted.block.index, request.wanted.block.nodes) for request in requests if request.wanted.block
        ]
        try:
            proofs = feed.prove_blocks(wanted)
        except (BadRequest, NotHeld):  # one of them: find out which
            return [self._answer(feed, request) for request in requests]
        return [
            Data(request.id, Proof(head.fork, block=proof)) for request, proof in zip(requests, proofs, strict=True)
        ]

    def _answer(self, feed: Feed, request: Request) -> FeedMessage:
        if request.fork != feed.head.fork:
            return NoData(request.id, NOT_AVAILABLE)
        try:
            return Data(request.id, feed.prove(request.wanted))
        except NotHeld:
            return NoData(request.id, NOT_AVAILABLE)
        except BadRequest:
            self._invalid += 1
            if self._invalid > INVALID_REQUESTS_MAX:
                raise
            return NoData(request.id, INVALID_REQUEST)

    # ---- what we ask ----------------------------------------------------------------------------

    def _questions(self, feed: Feed) -> Iterator[FeedMessage]:
        sync, head = self._peer.sync, feed.head
        if sync is None or not sync.uploading:
            return
        if sync.fork > head.fork:
            yield from self._follow(sync)
        elif sync.fork == head.fork:
            yield from self._compare(feed, sync)
            if sync.length > head.length and not self._must_compare:
                yield from self._upgrade(feed, sync)
            if self._search is None:
                yield from self._blocks(feed)

    def _follow(self, sync: Sync) -> Iterator[Request]:
        if self._search is not None and self._search.request is not None:
            wanted = ProofRequest(hash=self._search.request)
        elif sync.length:
            wanted = ProofRequest(upgrade=UpgradeRequest(0, sync.length))
        else:
            return
        if wanted not in self._asked.values():
            yield self._ask(sync.fork, wanted)

    def _probe(self, feed: Feed) -> ProofRequest | None:
        return from_nothing(self._probed[1]) if self._probed is not None else None

    def _compare(self, feed: Feed, sync: Sync) -> Iterator[Request]:
        """Once at the beginning, and when a longer head did not fit: are these two copies of one feed?"""
        head = feed.head
        length = min(sync.length, head.length)
        is_due = self._must_compare or (self._probed is None and sync.length <= head.length)
        if length and is_due and self._probed != (head.fork, length):
            self._probed = head.fork, length
            yield self._ask(head.fork, from_nothing(length))

    def _upgrade(self, feed: Feed, sync: Sync) -> Iterator[Request]:
        """The longer head; with the next block, when that is all there is to have."""
        if any(asked.upgrade for asked in self._asked.values()):
            return
        head = feed.head
        upgrade = UpgradeRequest(head.length, sync.length - head.length)
        alone = sync.length == head.length + 1 and not self._asked and head.length in self._peer.blocks
        block = BlockRequest(head.length, 0) if alone else None
        if block is not None:
            self._seqs.add(block.index)
        manifest = feed.manifest is None and sync.has_manifest
        yield self._ask(head.fork, ProofRequest(block=block, upgrade=upgrade, manifest=manifest))

    def _blocks(self, feed: Feed) -> Iterator[Request]:
        """Blocks that the peer holds and we do not, the lowest first, as many as the link takes."""
        head = feed.head
        room = self._room(head.length, head.byte_length) - len(self._asked)
        if room <= 0 or not head.length:
            return
        held, there = feed.storage.held(), self._peer
        seqs: list[int] = []
        kept = {block.index for block in self._waiting}
        for seq in held.missing(held.contiguous, head.length):
            if seq not in there.blocks and seq >= there.blocks.contiguous:
                break
            if seq not in self._seqs and seq not in there.gone and seq not in kept and seq in there.blocks:
                seqs.append(seq)
                if len(seqs) == room:
                    break
        for seq, levels in feed.paths_wanted(seqs, self._promised):
            self._seqs.add(seq)
            yield self._ask(head.fork, ProofRequest(block=BlockRequest(seq, levels)))

    def _room(self, length: int, byte_length: int) -> int:
        """How many blocks may be on their way, so that together they stay within bounds."""
        mean = byte_length // length + 1 if length else 1
        return max(1, min(REQUESTS_IN_FLIGHT_MAX, IN_FLIGHT_BYTES_MAX // mean))

    def _ask(self, fork: int, wanted: ProofRequest) -> Request:
        self._id += 1  # 0 has a meaning of its own
        self._asked[self._id] = wanted
        return Request(self._id, fork, wanted)

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
        )
        if self._said is not None and (self._said.fork != state.fork or state.length < self._said.length):
            length = max(0, self._said_contiguous - head.length)
            if length and self.upload:
                say.append(Range(head.length, length, drop=True))
            self._said_contiguous = 0
        if state != self._said:
            say.append(state)
            self._said = state
        contiguous = feed.storage.held().contiguous
        if self.upload and contiguous > self._said_contiguous:
            say.append(Range(0, contiguous))
            self._said_contiguous = contiguous
        return say

    def _can_upgrade(self, feed: Feed, length: int, agree: bool) -> bool:
        if not agree:
            return False
        if length == 0:
            return True
        roots = flat_tree.roots(length)
        return length < feed.head.length and len(feed.storage.nodes(roots)) == len(roots)


def _is_block(proof: Proof) -> bool:
    return proof.block is not None and not (proof.upgrade or proof.hash or proof.seek or proof.manifest)


def _is_plain(request: Request, feed: Feed) -> bool:
    """Whether it asks for one block of our fork and nothing else."""
    wanted = request.wanted
    if wanted.block is None or request.fork != feed.head.fork:
        return False
    return not (wanted.upgrade or wanted.hash or wanted.seek or wanted.manifest)


def _size(message: FeedMessage) -> int:
    """About how many bytes an answer takes."""
    if isinstance(message, Data) and message.proof.block is not None:
        return 64 + len(message.proof.block.value) + 40 * len(message.proof.block.nodes)
    return 4096


def _what_is_held(feed: Feed, start: int, length: int) -> Iterator[FeedMessage]:
    """An answer to being asked which blocks are here: one range where there are no gaps, else bits."""
    held, end = feed.storage.held(), feed.head.length
    if held.contiguous >= end:
        yield Range(0, held.contiguous) if held.contiguous else Range(0, 0)
        return
    stop = min(start + length, end)
    for first in range(start & ~31, stop, 32 * WORDS_SAID):
        count = min(32 * WORDS_SAID, (stop - first + 31) & ~31, 32 * BITFIELD_WORDS_MAX)
        yield Bitfield(first, held.bits(first, count))


def _bits(message: Bitfield) -> Iterator[int]:
    """The seqs that a bitfield says are held, in order."""
    for place, byte in enumerate(message.bits):
        if byte:
            base = message.start + 8 * place
            yield from (base + bit for bit in range(8) if byte >> bit & 1)
