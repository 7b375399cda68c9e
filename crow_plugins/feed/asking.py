"""What was asked of a peer about one feed and has not been answered, and what came before that on which it rests.

Every question has a number, and its answer bears it. Blocks are asked for in order, each with as short a path as the
answers already under way allow; should one of those never come, whatever counted on it is asked for again. No storage,
no bytes: whether an answer is true is the feed's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import OverLimit, Unanchored
from crow_plugins.feed.limits import IN_FLIGHT_BYTES_MAX, REQUESTS_IN_FLIGHT_MAX, UNASKED_MAX, WAITING_MAX
from crow_plugins.feed.messages import Request
from crow_plugins.feed.proof import BlockProof, BlockRequest, ProofRequest

TAKEN_BACK_MAX = 4 * REQUESTS_IN_FLIGHT_MAX  # numbers that are remembered: a peer may never answer them


@dataclass(slots=True)
class Asking:
    """Open questions by number, and what they keep from being asked twice."""

    open: dict[int, ProofRequest] = field(default_factory=dict)
    seqs: set[int] = field(default_factory=set)  # of the blocks among them
    promised: set[int] = field(default_factory=set)  # nodes that the answers will bring
    waiting: list[BlockProof] = field(default_factory=list)  # came before what they rest on
    last: int = 0  # number; 0 itself has a meaning of its own
    _taken_back: dict[int, None] = field(default_factory=dict)
    _broken: bool = False  # a promised node will not come
    _unasked: int = 0

    def copy(self) -> Asking:
        """As it is now, whatever becomes of this one."""
        return replace(
            self,
            open=dict(self.open),
            seqs=set(self.seqs),
            promised=set(self.promised),
            waiting=list(self.waiting),
            _taken_back=dict(self._taken_back),
        )

    @property
    def asks_for_head(self) -> bool:
        """Whether a longer head, or what leads to another branch, is on its way."""
        return any(asked.upgrade or asked.hash for asked in self.open.values())

    def ask(self, fork: int, wanted: ProofRequest) -> Request:
        self.last += 1
        self.open[self.last] = wanted
        if wanted.block is not None:
            self.seqs.add(wanted.block.index)
        return Request(self.last, fork, wanted)

    def ask_blocks(self, feed: Feed, fork: int, seqs: Sequence[int]) -> list[Request]:
        """Each with the path that leads to what is held or on its way; `fork` is the peer's."""
        paths = feed.paths_wanted(seqs, self.promised)
        return [self.ask(fork, ProofRequest(block=BlockRequest(seq, levels))) for seq, levels in paths]

    def answered(self, number: int) -> ProofRequest | None:
        """What this is the answer to; None if nobody waits for it. Raises `OverLimit` for too many of those."""
        asked = self.open.pop(number, None)
        if asked is None:
            self._nobody_asked(number)
        elif asked.block is not None:
            self.seqs.discard(asked.block.index)
        return asked

    def not_given(self, number: int) -> ProofRequest | None:
        """The same for the answer that there will be none."""
        asked = self.answered(number)
        if asked is not None and asked.block is not None:
            self._break()
        if not self.open:
            self._settle()
        return asked

    def wait(self, blocks: Sequence[BlockProof]) -> None:
        """Blocks that lead to no node that is here. Raises `Unanchored` if none is to come either."""
        self.waiting = list(blocks)
        too_many = len(self.waiting) > WAITING_MAX
        if too_many and not self._broken:
            raise Unanchored(2 * self.waiting[0].index)
        if too_many or sum(len(block.value) for block in self.waiting) > IN_FLIGHT_BYTES_MAX:
            self._break()
            self.waiting.clear()
        if not self.open:
            self._settle()

    def forget(self) -> None:
        """Take everything back: the feed is another now. Answers may still come, and say nothing against the peer."""
        self._taken_back.update(dict.fromkeys(self.open))
        while len(self._taken_back) > TAKEN_BACK_MAX:
            del self._taken_back[next(iter(self._taken_back))]
        self.open.clear()
        self.seqs.clear()
        self.waiting.clear()
        self.promised.clear()
        self._broken = False

    def _break(self) -> None:
        self._broken = True
        self.promised.clear()

    def _settle(self) -> None:
        """Nothing is under way any more: what still waits waits for ever."""
        if self.waiting and not self._broken:
            raise Unanchored(2 * self.waiting[0].index)
        self.waiting.clear()
        self.promised.clear()
        self._broken = False

    def _nobody_asked(self, number: int) -> None:
        if number in self._taken_back:
            del self._taken_back[number]
            return
        self._unasked += 1
        if self._unasked > UNASKED_MAX:
            raise OverLimit("answers that nobody asked for", UNASKED_MAX)
