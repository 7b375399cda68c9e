"""Connections that are looked at before they are used: what is to be settled first is asked over the very same one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable

import httpcore2

from crow_plugins.outbound.calling import AnswerBroken, BadStatus, TooLarge
from crow_plugins.outbound.packets import OnePacket
from crow_plugins.outbound.urls import GatewayUrl

OK = 200
Look = Callable[["Opened"], Awaitable[None]]  # raises what it will, and then the connection is closed unused


class Opened:
    """A connection to a gateway that nothing was sent over yet."""

    def __init__(self, url: GatewayUrl, stream: httpcore2.AsyncNetworkStream) -> None:
        self._url = url
        origin = httpcore2.Origin(url.scheme.encode(), url.host.encode(), url.port)
        self._connection = httpcore2.AsyncHTTP11Connection(origin, stream)

    async def post(self, path: str, body: bytes, *, answer_bytes: int) -> bytes:
        """The answer to a JSON body. It has no deadline of its own. Raises a `CallError`, and what httpcore2 does."""
        response = await self._connection.handle_async_request(
            httpcore2.Request(
                "POST",
                httpcore2.URL(f"{self._url.text}{path}"),
                headers={
                    "host": self._url.text.partition("://")[2],
                    "accept-encoding": "identity",
                    "content-type": "application/json",
                    "content-length": str(len(body)),
                    "user-agent": "crow",
                },
                content=body,
            )
        )
        answer = bytearray()
        assert isinstance(response.stream, AsyncIterable)
        async for part in response.stream:
            answer += part
            if len(answer) > answer_bytes:
                raise TooLarge(answer_bytes)
        await response.aclose()
        if response.status != OK:
            raise BadStatus(response.status)
        if not self._connection.is_idle():  # it closes each connection after one answer
            raise AnswerBroken
        return bytes(answer)


class LookingBackend(httpcore2.AsyncNetworkBackend):
    """Makes connections of those of another backend: each is looked at once, over TLS if the URL says so."""

    def __init__(self, inner: httpcore2.AsyncNetworkBackend, url: GatewayUrl, look: Look) -> None:
        self._inner, self._url, self._look = inner, url, look

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # its caller's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        stream = await self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return await self._looked_at(stream) if self._url.scheme == "http" else _BeforeTls(stream, self._looked_at)

    async def _looked_at(self, stream: httpcore2.AsyncNetworkStream) -> httpcore2.AsyncNetworkStream:
        stream = OnePacket(stream)
        try:
            await self._look(Opened(self._url, stream))
        except BaseException:
            await stream.aclose()
            raise
        return stream


class _BeforeTls(httpcore2.AsyncNetworkStream):
    """Is good for nothing but starting TLS over it."""

    def __init__(
        self,
        inner: httpcore2.AsyncNetworkStream,
        looked_at: Callable[[httpcore2.AsyncNetworkStream], Awaitable[httpcore2.AsyncNetworkStream]],
    ) -> None:
        self._inner, self._looked_at = inner, looked_at

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        return await self._looked_at(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    async def aclose(self) -> None:
        await self._inner.aclose()
