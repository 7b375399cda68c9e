"""Which blocks a peer says that it holds. Nothing of it is proven, and it may be any nonsense.

Nearly every peer holds all blocks up to some length, so that is a number; only what lies beyond it is kept in bits, and
of those no more than `bound` blocks: a few bytes of a peer must not cost gigabytes here. What is claimed further out
is dropped, and asked for again when the feed has grown that far.
"""

from __future__ import annotations

from collections.abc import Iterator

from crow_plugins.feed.errors import Malformed
from crow_plugins.feed.held import Held

_STEP = 4096  # blocks looked at together
_BITS = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


class Claims:
    """A set of seqs; all before `reach` are in it."""

    __slots__ = ("_beyond", "reach")

    def __init__(self) -> None:
        self.reach = 0
        self._beyond = Held()  # exact from `reach` on; what it has below is true as well

    def __contains__(self, seq: int) -> bool:
        return seq < self.reach or seq in self._beyond

    def add(self, start: int, stop: int, bound: int) -> None:
        """The peer holds blocks from `start` up to, not including, `stop`."""
        if start <= self.reach:
            self.reach = self._beyond.end_of_run(max(self.reach, stop))
        elif start < bound:
            self._beyond.add(start, min(stop, bound))

    def remove(self, start: int, stop: int, bound: int) -> None:
        """The peer holds none of these."""
        if start < self.reach:
            if stop < min(self.reach, bound):
                self._beyond.add(stop, min(self.reach, bound))
            self.reach = start
        self._beyond.remove(start, stop)

    def replace(self, start: int, bits: bytes, bound: int) -> None:
        """A bitfield is the truth for all that it covers. Raises `Malformed`."""
        if start & 7:
            raise Malformed("a bitfield begins within a byte")
        room = (bound - start) // 8
        if room <= 0 or not bits:
            return
        stop = start + 8 * min(room, len(bits))
        self.remove(start, stop, bound)
        self._beyond.put(start, bits[:room])
        self.reach = self._beyond.end_of_run(self.reach)

    def lacking(self, held: Held, end: int, first: int = 0) -> Iterator[int]:
        """The blocks from `first` on that the peer claims and that are not held here, in order."""
        first, end = max(first, held.contiguous), min(end, max(self.reach, self._beyond.end))
        for start in range(first & ~7, end, _STEP):
            ours = int.from_bytes(held.bits(start, _STEP), "little")
            ours |= (1 << max(0, first - start)) - 1
            both = self._window(start) & ~ours
            if not both:
                continue
            fresh = both.to_bytes(_STEP // 8, "little")
            for place in range(-(-min(_STEP, end - start) // 8)):
                if fresh[place]:
                    base = start + 8 * place
                    yield from (base + bit for bit in _BITS[fresh[place]] if base + bit < end)

    def _window(self, start: int) -> int:
        below = max(0, min(self.reach - start, _STEP))
        return (1 << below) - 1 | int.from_bytes(self._beyond.bits(start, _STEP), "little")
