"""What is written in one turn of the event loop leaves together, and in order, whatever it is."""

from __future__ import annotations

import asyncio
import socket

import pytest

from crow_plugins.packets import HELD_BYTES_MAX, Gathering

pytestmark = pytest.mark.anyio


async def gathered(server: asyncio.Server) -> Gathering:
    """Of a connection to it."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, *server.sockets[0].getsockname())
    return Gathering(transport, loop)


async def sent(*, close: bool = False) -> bytes:
    """All that comes of several writes, some of them larger than what is held."""
    received = asyncio.get_running_loop().create_future()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.set_result(await reader.read())
        writer.close()

    async with await asyncio.start_server(receive, "127.0.0.1", 0) as server:
        gathering = await gathered(server)
        for part in (b"head", b"", b"body", b"x" * HELD_BYTES_MAX, b"more"):
            gathering.write(part)
        if not close:
            await asyncio.sleep(0)
            gathering.write(b"later")
        gathering.close()
        return bytes(await received)


async def test_all_of_it_comes_in_order() -> None:
    assert await sent() == b"headbody" + b"x" * HELD_BYTES_MAX + b"morelater"


async def test_what_is_held_leaves_before_the_connection_is_closed() -> None:
    assert await sent(close=True) == b"headbody" + b"x" * HELD_BYTES_MAX + b"more"


async def test_no_more_is_held_than_was_said() -> None:
    seen = asyncio.Event()

    async def leave_unread(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await seen.wait()
        writer.transport.abort()

    async with await asyncio.start_server(leave_unread, "127.0.0.1", 0) as server:
        gathering = await gathered(server)
        gathering.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, HELD_BYTES_MAX)
        for _ in range(64):  # the kernel takes some; what it does not take is the transport's, which pauses its writer
            gathering.write(b"x" * HELD_BYTES_MAX * 2)
        assert gathering.get_write_buffer_size() > HELD_BYTES_MAX
        gathering.abort()
        seen.set()
