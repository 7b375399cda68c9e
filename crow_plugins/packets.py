"""HTTP over one connection, an answer to a packet: its head and its body leave together.

uvicorn writes the head of an answer, then the body, each a packet that wakes whoever reads. What is written in one
turn of the event loop is written at once here, at its end, or once the answer is whole: what the application does after
it is not waited for. A WebSocket gets the connection as it is.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from h11 import Request
from uvicorn.protocols.http.h11_impl import H11Protocol

HELD_BYTES_MAX = 64 * 1024  # beyond it what waits is written, so that a fast sender still feels a slow reader


class Gathering:
    """An asyncio transport that holds what is written until the loop's turn ends; all else is the transport's own."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.inner, self._loop = transport, loop
        self._held: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> None:
        if not data:
            return
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._bytes += len(data)
        if self._bytes > HELD_BYTES_MAX:
            self.flush()

    def close(self) -> None:
        self.flush()
        self.inner.close()

    def flush(self) -> None:
        held, self._held, self._bytes = self._held, [], 0
        if held:
            self.inner.write(b"".join(held))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class HttpProtocol(H11Protocol):
    """uvicorn's, over such a transport; an answer says when it was asked for, so that nobody keeps the time beside."""

    def data_received(self, data: bytes) -> None:
        self.server_state.default_headers = _dated(int(time.time()))
        super().data_received(data)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(Gathering(transport, self.loop))  # type: ignore[arg-type]  # it is one, by delegation

    def on_response_complete(self) -> None:
        assert isinstance(self.transport, Gathering)
        self.transport.flush()
        super().on_response_complete()

    def handle_websocket_upgrade(self, event: Request) -> None:
        assert isinstance(self.transport, Gathering)
        self.transport = self.transport.inner
        super().handle_websocket_upgrade(event)


@lru_cache(maxsize=1)
def _dated(now: int) -> list[tuple[bytes, bytes]]:
    return [(b"date", formatdate(now, usegmt=True).encode())]
