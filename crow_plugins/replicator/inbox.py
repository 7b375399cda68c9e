"""What a connection brought and nobody has taken yet: bytes, and signals of our own. Belongs to the event loop.

It holds all that we may have asked the peer for: two sides that send to each other at once both go on reading, so
neither waits for the other for ever. A peer that has not shown who it is gets a fraction of that.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from enum import Enum, auto

from crow_plugins.limits import UNREAD_BYTES_MAX, UNREAD_BYTES_MAX_BEFORE_WELCOME

TURN_BYTES = 1 << 20  # taken at once: one transaction for what came while the last one ran


class Signal(Enum):
    """What a turn is for, besides bytes."""

    FEEDS_GREW = auto()
    CHAIN_CHANGED = auto()
    KEEP_ALIVE = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Turn:
    """What is to be done next: bytes of the peer first, then what the signals call for."""

    data: bytes
    signals: frozenset[Signal]


class Inbox:
    """One connection's."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._signals: set[Signal] = set()
        self._bytes_max = UNREAD_BYTES_MAX_BEFORE_WELCOME
        self._came, self._taken = asyncio.Event(), asyncio.Event()
        self._heard = time.monotonic()

    def welcome(self) -> None:
        """The peer is known: it may have sent all that was asked of it."""
        self._bytes_max = UNREAD_BYTES_MAX
        self._taken.set()

    def signal(self, signal: Signal) -> None:
        self._signals.add(signal)
        self._came.set()

    async def put(self, data: bytes) -> None:
        """Waits while there is no room; what does not read on is held up in the network."""
        self._heard = time.monotonic()
        while self._data and len(self._data) + len(data) > self._bytes_max:
            self._taken.clear()
            await self._taken.wait()
        self._data += data
        self._came.set()

    async def take(self) -> Turn:
        """Waits until there is anything."""
        await self._came.wait()
        data, signals = bytes(self._data[:TURN_BYTES]), frozenset(self._signals)
        del self._data[:TURN_BYTES]
        if Signal.END in signals and self._data:  # what came before the end is heard first
            signals = frozenset()
        self._signals -= signals
        if not self._data and not self._signals:
            self._came.clear()
        self._taken.set()
        return Turn(data, signals)

    def silent_seconds(self) -> float:
        """For how long nothing came; none while something is here that we were too slow to take."""
        return 0.0 if self._data else time.monotonic() - self._heard
