"""Which blocks of a feed are here: a bit a block, and how far they reach without a gap.

Bit `n` is bit `n % 8` of byte `n // 8`, which is how bitfields lie on the wire. No block's content is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_NOT_FULL = re.compile(rb"[^\xff]")


class Held:
    """A set of seqs that is cheap when full."""

    __slots__ = ("_bits", "_contiguous")

    def __init__(self) -> None:
        self._bits = bytearray()
        self._contiguous = 0

    def __contains__(self, seq: int) -> bool:
        place = seq >> 3
        return place < len(self._bits) and bool(self._bits[place] >> (seq & 7) & 1)

    @property
    def contiguous(self) -> int:
        """The first seq that is not held: all before it are."""
        return self._contiguous

    def add(self, start: int, stop: int) -> None:
        """Blocks from `start` up to, not including, `stop`."""
        self._room(stop)
        first, last = -(-start // 8), stop // 8
        if first < last:
            self._bits[first:last] = b"\xff" * (last - first)
        for seq in _edges(start, stop):
            self._bits[seq >> 3] |= 1 << (seq & 7)
        self._contiguous = self.end_of_run(self._contiguous)

    def add_all(self, seqs: Iterable[int]) -> None:
        """Any blocks; runs in rising order are taken as one."""
        for start, stop in _runs(seqs):
            self.add(start, stop)

    def put(self, start: int, bits: bytes) -> None:
        """Exactly these of the blocks from `start` on, a multiple of 8: what a bitfield says."""
        self._room(start + 8 * len(bits))
        self._bits[start >> 3 : (start >> 3) + len(bits)] = bits
        self._contiguous = self.end_of_run(min(self._contiguous, start))

    def remove(self, start: int, stop: int) -> None:
        """No block from `start` up to, not including, `stop` is held any more."""
        stop = min(stop, 8 * len(self._bits))
        first, last = -(-start // 8), stop // 8
        if first < last:
            self._bits[first:last] = bytes(last - first)
        for seq in _edges(start, stop):
            self._bits[seq >> 3] &= ~(1 << (seq & 7))
        if start < stop:
            self._contiguous = min(self._contiguous, start)

    def cut(self, length: int) -> None:
        """No block from `length` on is held any more."""
        del self._bits[-(-length // 8) :]
        if length & 7 and length >> 3 < len(self._bits):
            self._bits[length >> 3] &= (1 << (length & 7)) - 1
        self._contiguous = min(self._contiguous, length)

    def bits(self, start: int, count: int) -> bytes:
        """The bits of `count` blocks from `start` on, both multiples of 8; what is not held is 0."""
        return bytes(self._bits[start >> 3 : (start + count) >> 3]).ljust(count >> 3, b"\x00")

    @property
    def end(self) -> int:
        """No block from here on is held; there may be none just before it."""
        return 8 * len(self._bits)

    def end_of_run(self, seq: int) -> int:
        """The first from `seq` on that is not held."""
        while seq & 7 and seq in self:
            seq += 1
        if seq & 7 or seq >> 3 >= len(self._bits):
            return seq
        gap = _NOT_FULL.search(self._bits, seq >> 3)
        seq = 8 * gap.start() if gap else 8 * len(self._bits)
        while seq in self:
            seq += 1
        return seq

    def missing(self, start: int, stop: int) -> Iterator[int]:
        """The seqs between that are not held, in order."""
        seq = max(start, self._contiguous) if start <= self._contiguous else start
        while seq < stop:
            if not seq & 7 and seq >> 3 < len(self._bits) and self._bits[seq >> 3] == 0xFF:
                seq += 8
                continue
            if seq not in self:
                yield seq
            seq += 1

    def _room(self, stop: int) -> None:
        short = (stop + 7 >> 3) - len(self._bits)
        if short > 0:
            self._bits.extend(bytes(short))


def _edges(start: int, stop: int) -> tuple[int, ...]:
    """The seqs that share their byte with others outside."""
    first, last = -(-start // 8), stop // 8
    return (*range(start, min(stop, 8 * first)), *range(max(start, 8 * last), stop))


def _runs(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    start = stop = 0
    for seq in seqs:
        if seq == stop:
            stop += 1
            continue
        if start < stop:
            yield start, stop
        start, stop = seq, seq + 1
    if start < stop:
        yield start, stop
