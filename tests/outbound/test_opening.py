"""A connection is looked at before anything else is sent over it, and its requests are one packet each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpcore2
import httpx2
import pytest

from crow_plugins.outbound.calling import AnswerBroken, BadStatus, CheckedTransport, TooLarge
from crow_plugins.outbound.opening import Look, LookingBackend, Opened
from crow_plugins.outbound.urls import parse
from tests.outbound.test_calling import Authority

pytestmark = pytest.mark.anyio

LOOK = b'{"who":"goes there"}'
HEAD = b"HTTP/1.1 %s\r\ncontent-length: %d\r\n%s\r\n"


@dataclass
class Server:
    """What it read, read by read, of all connections; each was opened with TLS if it has any."""

    port: int = 0
    connections: int = 0
    packets: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(status: bytes = b"200 OK", headers: bytes = b"", **tls: Any) -> AsyncIterator[Server]:
    server = Server()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        while packet := await reader.read(1 << 16):
            server.packets.append(packet)
            if packet.endswith((b"\r\n\r\n", b"kettle", LOOK)):
                writer.write(HEAD % (status, 2, headers) + b"ok")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, **tls) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        yield server


def bodies(server: Server) -> list[bytes]:
    return [packet.partition(b"\r\n\r\n")[2] for packet in server.packets]


@asynccontextmanager
async def client(server: Server, look: Look, scheme: str = "http", **tls: Any) -> AsyncIterator[httpx2.AsyncClient]:
    url = parse(f"{scheme}://127.0.0.1:{server.port}")
    transport = CheckedTransport(url, dial=LookingBackend(httpcore2.AnyIOBackend(), url, look), **tls)
    async with httpx2.AsyncClient(transport=transport, base_url=url.text) as made:
        yield made


async def asks(opened: Opened) -> None:
    assert await opened.post("/look", LOOK, answer_bytes=2) == b"ok"


async def test_each_connection_is_looked_at_once_and_each_request_is_one_packet() -> None:
    async with serving() as server:
        for _ in range(2):
            async with client(server, asks) as calls:
                for body in (b"kettle", b"", b"a copper kettle"):
                    response = await (calls.post("/", content=body) if body else calls.get("/"))
                    assert response.content == b"ok"
    assert server.connections == 2
    assert bodies(server) == [LOOK, b"kettle", b"", b"a copper kettle"] * 2
    assert server.packets[0].lower().startswith(b"post /look http/1.1\r\nhost: 127.0.0.1:%d\r\n" % server.port)


async def test_over_tls_it_is_looked_at_after_the_handshake(tmp_path: Path) -> None:
    authority = Authority.create()
    serves, trusts = authority.server("127.0.0.1", tmp_path), authority.trusted()
    async with serving(ssl=serves) as server, client(server, asks, "https", tls=trusts) as calls:
        for _ in range(2):
            assert (await calls.post("/", content=b"kettle")).content == b"ok"
    assert bodies(server) == [LOOK, b"kettle", b"kettle"]


@pytest.mark.parametrize(
    ("status", "headers", "error"),
    [
        (b"404 Not Found", b"", BadStatus),
        (b"503 Service Unavailable", b"", BadStatus),
        (b"200 OK", b"connection: close\r\n", AnswerBroken),
    ],
)
async def test_without_a_good_answer_nothing_else_is_sent(
    status: bytes, headers: bytes, error: type[Exception]
) -> None:
    async with serving(status, headers) as server, client(server, asks) as calls:
        for _ in range(2):  # no connection that failed is used again
            with pytest.raises(error):
                await calls.post("/", content=b"kettle")
    assert bodies(server) == [LOOK] * 2


async def test_no_more_of_an_answer_is_read_than_was_said() -> None:
    async def hears_one(opened: Opened) -> None:
        await opened.post("/look", LOOK, answer_bytes=1)

    async with serving() as server, client(server, hears_one) as calls:
        with pytest.raises(TooLarge):
            await calls.post("/", content=b"kettle")
    assert bodies(server) == [LOOK]
