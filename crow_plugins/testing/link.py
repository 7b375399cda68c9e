"""A connection between two instances that is a pair of queues: cut, held up and mended by a test.

It carries the bytes of the secret stream, as a WebSocket would, and looks at none of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

QUEUED_MAX = 16  # pieces under way in one direction; then the sender waits, as it does on a network


class Pipe:
    """One end of a connection. See `crow_plugins.replicator.transport.ByteStream`."""

    def __init__(self, here: asyncio.Queue[bytes], there: asyncio.Queue[bytes], flowing: asyncio.Event) -> None:
        self._here, self._there, self._flowing = here, there, flowing
        self._over = False

    async def receive(self) -> bytes:
        if self._over:
            return b""
        data = await self._here.get()
        await self._flowing.wait()
        self._over = not data
        return data

    async def send(self, data: bytes) -> None:
        if data and not self._over:
            await self._there.put(data)

    async def close(self) -> None:
        self._over = True
        for queue in (self._here, self._there):  # what is under way is lost, and both ends hear of the end
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(b"")


def pipes(flowing: asyncio.Event) -> tuple[Pipe, Pipe]:
    """Both ends. While `flowing` is not set, what is sent is under way and does not arrive."""
    one: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_MAX)
    other: asyncio.Queue[bytes] = asyncio.Queue(QUEUED_MAX)
    return Pipe(one, other, flowing), Pipe(other, one, flowing)


class Link:
    """What is between two instances. On the event loop."""

    def __init__(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.wanted = False
        self._ends: tuple[Pipe, Pipe] | None = None
        self._task: asyncio.Task[None] | None = None

    def opened(self) -> tuple[Pipe, Pipe]:
        self._ends = pipes(self.flowing)
        return self._ends

    def keep(self, connected: Coroutine[None, None, None]) -> None:
        """Be connected, by this coroutine, until it is cut."""
        self.wanted = True
        self._task = asyncio.create_task(connected)

    async def cut(self) -> None:
        """End the connection; it is over on both sides when this returns."""
        self.wanted, held = False, not self.flowing.is_set()
        self.flowing.set()
        if self._ends is not None and self._task is not None:
            await self._ends[0].close()
            await self._task
        if held:
            self.flowing.clear()
