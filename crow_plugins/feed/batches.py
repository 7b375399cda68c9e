"""How several messages of several channels share one frame of the secret stream.

    one message   channel, type, payload
    a batch       0, 0, channel, then each message as its length, type, payload; length 0 changes the channel

Channels are numbers here, each side's own; 0 is for the channels themselves. A batch saves a seal and a call of the
cipher for each message in it. What a number or a type stands for is no matter of this file.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from crow_plugins.feed.encoding import Reader, uint
from crow_plugins.feed.errors import Malformed, OverLimit
from crow_plugins.feed.limits import BATCH_BYTES_MAX, FRAME_BYTES_MAX

CONTROL = 0  # the channel on which channels are opened and closed
BATCH = 0  # its first type

MESSAGES_MAX = 8192  # in one frame: npm answers 512 requests at once; to pass over so many takes some 6 ms

_HEAD = bytes([CONTROL, BATCH])
_OVERHEAD_BYTES_MAX = 12  # of a message in a batch: its length, and a change of channel


class Part(NamedTuple):
    """A message to one channel; `body` is its type and payload."""

    channel: int
    body: bytes


def frames(parts: Iterable[Part]) -> list[bytes]:
    """As few frames as hold all in order; none above `BATCH_BYTES_MAX` but for a single message that is."""
    made: list[bytes] = []
    batch: list[Part] = []
    size = 0
    for part in parts:
        added = len(part.body) + _OVERHEAD_BYTES_MAX
        if batch and (size + added > BATCH_BYTES_MAX or len(batch) == MESSAGES_MAX):
            made.append(_frame(batch))
            batch, size = [], 0
        batch.append(part)
        size += added
    if batch:
        made.append(_frame(batch))
    return made


def _frame(parts: list[Part]) -> bytes:
    channel = parts[0].channel
    if len(parts) == 1:
        return uint(channel) + parts[0].body
    pieces = [_HEAD, uint(channel)]
    for part in parts:
        if part.channel != channel:
            channel = part.channel
            pieces += b"\0", uint(channel)
        pieces += uint(len(part.body)), part.body
    return b"".join(pieces)


class Parts:
    """Takes a frame apart, one message a call, so that no call costs more than one message does."""

    __slots__ = ("_batched", "_channel", "_count", "_reader")

    def __init__(self, frame: bytes) -> None:
        """Raises `Malformed`. An empty frame has no messages: it says only that the peer lives."""
        self._reader = Reader(frame)
        self._channel = self._count = 0
        self._batched = False
        if frame:
            self._begin()

    @property
    def done(self) -> bool:
        """Whether every message was taken."""
        return not self._reader.left

    def next(self) -> tuple[int, int, Reader] | None:
        """Channel, type, and a reader of just the payload; None at the end. Raises `Malformed`, `OverLimit`."""
        reader = self._reader
        if not reader.left:
            return None
        if not self._batched:
            return self._channel, reader.uint(), self._rest()
        while (size := reader.uint(FRAME_BYTES_MAX, "a message")) == 0:
            self._count_one()
            self._channel = reader.uint()
            if not reader.left:
                return None
        self._count_one()
        return self._cut(size)

    def _begin(self) -> None:
        reader = self._reader
        self._channel = reader.uint()
        if reader.data.startswith(_HEAD):
            reader.uint()
            self._channel = reader.uint()
            self._batched = True
        if not reader.left:
            raise Malformed("a frame ends before its first message")

    def _rest(self) -> Reader:
        rest = Reader(self._reader.data, self._reader.position)
        self._reader.position = self._reader.end
        return rest

    def _cut(self, size: int) -> tuple[int, int, Reader]:
        reader = self._reader
        end = reader.position + size
        if end > reader.end:
            raise Malformed("they end too early")
        part = Reader(reader.data, reader.position, end)
        reader.position = end
        return self._channel, part.uint(), part

    def _count_one(self) -> None:
        self._count += 1
        if self._count > MESSAGES_MAX:
            raise OverLimit("the number of messages in a batch", MESSAGES_MAX)
