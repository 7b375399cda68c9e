"""Bytes between two gateways: a WebSocket at `/sync`, dialled or accepted, as a plain stream of bytes.

Where a message of the socket begins or ends means nothing. An address is checked when it is dialled, by the same rules
as every other call to another machine. Who is at the other end is the secret stream's business, and not known here.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from crow_plugins.outbound.calling import NameUnknown, Unreachable, resolved, system_tls
from crow_plugins.outbound.urls import Address, GatewayUrl, Zone, allowed

PATH = "/sync"
CONNECT_SECONDS = 5.0
MESSAGE_BYTES = 64 * 1024  # of what we send: small enough that a proxy passes it on at once
MESSAGE_BYTES_MAX = 1 << 20  # of what we take
QUEUE_MESSAGES = 16  # that came and were not read yet; more wait in the network


# What sending raises once the other end is gone; whoever receives finds it out too.
_GONE = (WebSocketException, WebSocketDisconnect, RuntimeError, OSError)


class NoSync(Unreachable):
    """Something answers at the address, but not as an instance that syncs."""

    code = "no_sync"

    def __init__(self) -> None:
        super().__init__("nothing at that address takes part in sync; check that its replicator is on, and upgrade it")


class ByteStream(Protocol):
    """Both directions of a connection. Once `receive` gave no bytes, or anything raised, it is over."""

    async def receive(self) -> bytes:
        """What came next; no bytes at all mean the end."""

    async def send(self, data: bytes) -> None:
        """Hand it over; waits while the other end does not read. At the end it is dropped."""

    async def close(self) -> None:
        """End both directions."""


class Dialled:
    """A connection that we opened."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def receive(self) -> bytes:
        try:
            data = await self._connection.recv(decode=False)
        except WebSocketException:
            return b""
        return bytes(data)

    async def send(self, data: bytes) -> None:
        with suppress(*_GONE):
            for part in _parts(data):
                await self._connection.send(part)

    async def close(self) -> None:
        try:
            with suppress(*_GONE):
                await self._connection.close()
        finally:  # whoever waits no longer for the other end's goodbye leaves no socket behind
            self._connection.transport.abort()


class Accepted:
    """A connection that was opened to us."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket

    async def receive(self) -> bytes:
        try:
            return await self._websocket.receive_bytes()
        except (WebSocketDisconnect, KeyError, RuntimeError):  # closed, text instead of bytes, or closed by us
            return b""

    async def send(self, data: bytes) -> None:
        with suppress(*_GONE):
            for part in _parts(data):
                await self._websocket.send_bytes(part)

    async def close(self) -> None:
        with suppress(*_GONE):
            if self._websocket.application_state is WebSocketState.CONNECTED:
                await self._websocket.close()


async def dial(url: GatewayUrl, zones: Collection[Zone], tls: ssl.SSLContext | None = None) -> Dialled:
    """Open a connection to a gateway.

    Raises `Unreachable`, `NameUnknown`, `NoSync`, or a `ForbiddenZone` of the URL policy.
    """
    secure = url.scheme == "https"
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            opened = await _connected(url, zones)
            return Dialled(
                await connect(
                    f"ws{url.text.removeprefix('http')}{PATH}",
                    sock=opened,
                    ssl=(tls or system_tls()) if secure else None,
                    server_hostname=url.host if secure else None,
                    proxy=None,
                    compression=None,
                    ping_interval=None,
                    max_size=MESSAGE_BYTES_MAX,
                    max_queue=QUEUE_MESSAGES,
                    user_agent_header="crow",
                )
            )
    except NameUnknown:
        raise
    except WebSocketException as error:
        raise NoSync from error
    except (OSError, TimeoutError) as error:
        raise Unreachable from error


async def _connected(url: GatewayUrl, zones: Collection[Zone]) -> socket.socket:
    """A socket to the first of the checked addresses that answers."""
    known = url.address
    answers = await resolved(url.host, url.port) if known is None else [known]
    failed: OSError = OSError()
    for address in allowed(url, answers, zones):
        try:
            return await _connected_to(address, url.port)
        except OSError as error:
            failed = error
    raise failed


async def _connected_to(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(opened, (str(address), port))
    except BaseException:
        opened.close()
        raise
    return opened


def _parts(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), MESSAGE_BYTES):
        yield data[start : start + MESSAGE_BYTES]
