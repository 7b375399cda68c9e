"""A connection that is ended leaves nothing open, whatever the other end does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
from asyncio import StreamReader, StreamWriter

import pytest

from crow_plugins.outbound import urls
from crow_plugins.outbound.urls import Zone
from crow_plugins.replicator.transport import dial

MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
SECONDS_MAX = 60  # a bound for a loaded machine


class Mute:
    """Agrees to a WebSocket, and never says goodbye."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key"))
        proof = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
        writer.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {proof}\r\n\r\n".encode()
        )
        with contextlib.suppress(ConnectionError):
            await reader.read()
        self.left.set()
        writer.close()


@pytest.mark.anyio
async def test_who_does_not_say_goodbye_is_left_all_the_same() -> None:
    mute = Mute()
    server = await asyncio.start_server(mute.accept, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        dialled = await dial(urls.parse(f"http://127.0.0.1:{port}"), [Zone.LOOPBACK])
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await dialled.close()
        await asyncio.wait_for(mute.left.wait(), SECONDS_MAX)
