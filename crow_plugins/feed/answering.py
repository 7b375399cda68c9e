"""What a peer has asked about one feed, and the answers, in the order of the asking and a few megabytes at a time.

Filing a question touches no storage; `answers` reads. A peer gets a block, a proof, or the word that there is none,
and never silence, unless it took its question back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import BadRequest, NotHeld, OverLimit
from crow_plugins.feed.limits import (
    BITFIELD_WORDS_MAX,
    INVALID_REQUESTS_MAX,
    REQUESTS_QUEUED_MAX,
    WANTS_QUEUED_MAX,
)
from crow_plugins.feed.messages import (
    INVALID_REQUEST,
    NOT_AVAILABLE,
    Bitfield,
    Data,
    FeedMessage,
    NoData,
    Range,
    Request,
    Want,
)
from crow_plugins.feed.proof import Proof, ProofRequest

TOGETHER_MAX = 128  # blocks read at once
WORDS_SAID = 1024  # of a bitfield in one message: 32,768 blocks
PROOF_BYTES = 400  # what an answer takes beside the block, about


@dataclass(slots=True)
class Answering:
    """Questions that wait for an answer of ours."""

    _requests: dict[int, Request] = field(default_factory=dict)
    _wants: dict[tuple[int, int], None] = field(default_factory=dict)  # start and stop
    _invalid: int = 0

    def __bool__(self) -> bool:
        return bool(self._requests or self._wants)

    def copy(self) -> Answering:
        """As it is now, whatever becomes of this one."""
        return replace(self, _requests=dict(self._requests), _wants=dict(self._wants))

    def take(self, request: Request) -> None:
        """File a question. Raises `OverLimit`."""
        self._requests[request.id] = request
        if len(self._requests) > REQUESTS_QUEUED_MAX:
            raise OverLimit("unanswered requests", REQUESTS_QUEUED_MAX)

    def cancel(self, number: int) -> None:
        self._requests.pop(number, None)

    def take_want(self, want: Want) -> None:
        """File the question which blocks are here. Raises `OverLimit`."""
        self._wants[want.start, want.start + min(want.length, 32 * BITFIELD_WORDS_MAX)] = None
        if len(self._wants) > WANTS_QUEUED_MAX:
            raise OverLimit("unanswered questions for what is held", WANTS_QUEUED_MAX)

    def answers(self, feed: Feed, budget: int, *, upload: bool, end: int | None) -> Iterator[FeedMessage]:
        """About `budget` bytes of them, and never less than one. Raises `BadRequest` once there were too many.

        Without `upload` every answer is that there is none. The peer's copy may be the same as this one up to `end`
        only; then it is given the blocks before that, and shown the signed head.
        """
        while self._requests and budget > 0:
            for answer in self._next_answers(feed, budget, upload=upload, end=end):
                budget -= _size(answer)
                yield answer
        while self._wants and budget > 0:
            start, stop = next(iter(self._wants))
            del self._wants[start, stop]
            for answer in _what_is_held(feed, start, stop) if upload else ():
                budget -= _size(answer)
                yield answer

    def _next_answers(self, feed: Feed, budget: int, *, upload: bool, end: int | None) -> list[FeedMessage]:
        first = next(iter(self._requests.values()))
        if not upload or (end is not None and not _is_of_both(first.wanted, end)):
            del self._requests[first.id]
            return [NoData(first.id, NOT_AVAILABLE)]
        if end is not None or not _is_plain(first, feed.head.fork):
            del self._requests[first.id]
            return [self._answer(feed, first)]
        return self._blocks(feed, self._next_plain(feed, budget))

    def _next_plain(self, feed: Feed, budget: int) -> list[Request]:
        """Questions for blocks that follow each other: one reading of the storage does for them."""
        head = feed.head
        mean = head.byte_length // max(1, head.length) + PROOF_BYTES
        room = max(1, min(TOGETHER_MAX, budget // mean))
        taken: list[Request] = []
        for request in self._requests.values():
            if len(taken) == room or not _is_plain(request, head.fork):
                break
            taken.append(request)
        for request in taken:
            del self._requests[request.id]
        return taken

    def _blocks(self, feed: Feed, requests: Sequence[Request]) -> list[FeedMessage]:
        fork = feed.head.fork
        wanted = [(asked.index, asked.nodes) for request in requests if (asked := request.wanted.block)]
        try:
            proofs = feed.prove_blocks(wanted)
        except (BadRequest, NotHeld):  # one of them: find out which
            return [self._answer(feed, request) for request in requests]
        return [Data(request.id, Proof(fork, block=proof)) for request, proof in zip(requests, proofs, strict=True)]

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


def _is_plain(request: Request, fork: int) -> bool:
    """Whether it asks for one block of this fork and nothing else."""
    wanted = request.wanted
    if wanted.block is None or request.fork != fork:
        return False
    return not (wanted.upgrade or wanted.hash or wanted.seek or wanted.manifest)


def _is_of_both(wanted: ProofRequest, end: int) -> bool:
    """Whether it asks for nothing but a signed head, or for one of the first blocks, up to `end`."""
    if wanted.hash or wanted.seek:
        return False
    if wanted.block is None:
        return wanted.upgrade is not None
    return wanted.upgrade is None and wanted.block.index < end


def _size(message: FeedMessage) -> int:
    """About how many bytes an answer takes."""
    if isinstance(message, Data):
        block = message.proof.block
        return PROOF_BYTES + (len(block.value) if block else 0)
    return PROOF_BYTES + (len(message.bits) if isinstance(message, Bitfield) else 0)


def _what_is_held(feed: Feed, start: int, stop: int) -> Iterator[FeedMessage]:
    """One range where there are no gaps, else bits."""
    held, end = feed.storage.held(), feed.head.length
    if held.contiguous >= min(stop, end):
        if held.contiguous:
            yield Range(0, held.contiguous)
        return
    stop = min(stop, end)
    for first in range(start & ~31, stop, 32 * WORDS_SAID):
        count = min(32 * WORDS_SAID, (stop - first + 31) & ~31)
        yield Bitfield(first, held.bits(first, count))
