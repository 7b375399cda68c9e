"""Calls to another gateway that can neither be led astray nor cost more than was allowed.

The URL's host is resolved when a connection is opened, every answer is checked, and one of the checked addresses is
dialled as it is: no second look-up lies between check and connect. TLS and the Host header keep the name. A connection
goes to its one origin whatever a redirect says; there are no redirects, proxies, cookies, stored passwords or
compressed answers, and nothing of the environment is read. Each call has a deadline for all of it together, and each
answer a size. What an answer means is not known here, and no message repeats any of it.

    CallError                     the other machine cannot be called, or did not answer as it should
    ├── Unreachable               nothing answers there
    │   ├── NameUnknown           nobody knows the name
    │   └── TlsRefused            its certificate, or its TLS, is not to be trusted
    ├── TimedOut
    ├── AnswerBroken              it speaks no HTTP, or broke off
    ├── TooLarge
    ├── Redirected
    ├── BadStatus
    ├── Compressed
    └── NotJson
    ForbiddenZone                 as in `urls`, and
    └── OtherOrigin               a request for another gateway than the connection's
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Self

import httpcore2
import httpx2

from crow_hooks import CrowError
from crow_plugins.identity import canonical_json
from crow_plugins.identity.errors import BadJson
from crow_plugins.outbound.urls import DEFAULT_ZONES, Address, ForbiddenZone, GatewayUrl, Zone, allowed

Resolve = Callable[[str, int], Awaitable[Sequence[Address]]]

CONNECT_SECONDS = 3.0
CONNECTIONS_MAX = 4
DIALLED_MAX = 4  # of the addresses of one name
# Below the five seconds after which common servers close an idle connection: closing first avoids meeting that.
IDLE_SECONDS = 4.0
NO_DELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
OK = frozenset({200})
WEB_SOCKET_SCHEMES = {"ws": "http", "wss": "https"}


class CallError(CrowError):
    """Another machine cannot be called, or did not answer as it should."""

    code = "call_error"


class Unreachable(CallError):
    """No connection came about."""

    code = "unreachable"

    def __init__(self, sentence: str = "") -> None:
        super().__init__(sentence or "nothing answers at that address; check that the gateway runs there, and its port")


class NameUnknown(Unreachable):
    """The host's name cannot be resolved."""

    code = "name_unknown"

    def __init__(self) -> None:
        super().__init__("the host's name cannot be resolved; check its spelling, and this machine's network")


class TlsRefused(Unreachable):
    """No connection that could be trusted came about."""

    code = "tls_refused"

    def __init__(self) -> None:
        super().__init__(
            "no trusted TLS connection came about; check that the host serves https with a certificate for its name"
        )


class TimedOut(CallError):
    """The other machine did not answer in time; whether it acted on the request is not known."""

    code = "timed_out"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"the other machine did not answer within {seconds:g} seconds; see how it is, then try again")


class AnswerBroken(CallError):
    """What came is no HTTP, or ended early; whether the other machine acted on the request is not known."""

    code = "answer_broken"

    def __init__(self) -> None:
        super().__init__("the connection broke off, or what answers is no gateway; check the address, then try again")


class TooLarge(CallError):
    """The answer is longer than was allowed; the rest was not read."""

    code = "answer_too_large"

    def __init__(self, bytes_max: int) -> None:
        super().__init__(f"the answer has more than {bytes_max} bytes; check that the address is of a Crow gateway")
        self.bytes_max = bytes_max


class Redirected(CallError):
    """The answer leads elsewhere; nobody went there."""

    code = "redirected"

    def __init__(self) -> None:
        super().__init__("the address leads on to another one, which is not followed; give the gateway's own address")


class BadStatus(CallError):
    """The status is none that was expected; `status` is its number."""

    code = "bad_status"

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(
            f"the other machine answered with status {status}; check that the address is of a Crow gateway"
        )


class Compressed(CallError):
    """The answer is encoded although that was not asked for: a little of it may become very much."""

    code = "answer_compressed"

    def __init__(self) -> None:
        super().__init__(
            "the answer is compressed, which was not asked for; switch that off in the proxy before the gateway"
        )


class NotJson(CallError):
    """The answer is not JSON, or does not say that it is."""

    code = "not_json"

    def __init__(self) -> None:
        super().__init__("the answer is not JSON; check that the address is of a Crow gateway")


class OtherOrigin(ForbiddenZone):
    """A request for another origin than the connection's."""

    code = "other_origin"

    def __init__(self) -> None:
        super().__init__("a call was led away from the gateway it was meant for; give the gateway's own address")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one call may cost; the total is from looking up the name to the last byte."""

    connect_seconds: float = CONNECT_SECONDS
    total_seconds: float = 10.0
    answer_bytes: int = 1 << 16


USUAL_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole and within bounds; nothing about it is believed yet."""

    status: int
    content: bytes

    def json(self) -> object:
        """The content's value, by the rules of `canonical_json.parse`: no floats. Raises `NotJson`."""
        try:
            return canonical_json.parse(self.content, size_max=len(self.content))
        except BadJson:
            raise NotJson from None


class RemoteGateway:
    """Another gateway, to be called any number of times over connections that are kept while they are used.

    `tls` is worth sharing between gateways: making one reads all certificates that the system trusts.
    """

    def __init__(
        self,
        url: GatewayUrl,
        zones: Collection[Zone] = DEFAULT_ZONES,
        bounds: Bounds = USUAL_BOUNDS,
        *,
        resolve: Resolve | None = None,
        dial: httpcore2.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.url, self._bounds = url, bounds
        self._transport = CheckedTransport(url, zones, resolve=resolve, dial=dial, tls=tls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close what is kept open."""
        await self._transport.aclose()

    async def call(
        self,
        path: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        statuses: Collection[int] = OK,
        as_json: bool = True,
    ) -> Answer:
        """GET a path that starts with a slash, or POST a JSON body to it; `as_json` refuses an answer of another type.

        Never tried again by itself. Raises a `CallError` or a `ForbiddenZone`; then no connection is left half used.
        """
        request = self._request(path, body, headers or {})
        with named_faults(self._bounds):
            async with asyncio.timeout(self._bounds.total_seconds):
                response = await self._transport.handle_async_request(request)
                try:
                    _check_head(response, statuses, as_json=as_json)
                    return Answer(response.status_code, await content(response, self._bounds.answer_bytes))
                finally:
                    await response.aclose()

    def _request(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> httpx2.Request:
        wanted = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "crow", **headers}
        if body is not None:
            wanted["content-type"] = "application/json"
        return httpx2.Request(
            "GET" if body is None else "POST",
            self.url.text + path,
            headers=wanted,
            content=body,
            extensions={"timeout": {"connect": self._bounds.connect_seconds}},
        )


class CheckedTransport(httpx2.AsyncBaseTransport):
    """The way to one gateway, for any httpx2 client: what asks for another origin is refused, redirects included.

    It has no deadline of its own. Raises what httpx2 does, a `ForbiddenZone`, or `NameUnknown`.
    """

    def __init__(
        self,
        url: GatewayUrl,
        zones: Collection[Zone] = DEFAULT_ZONES,
        *,
        connections_max: int = CONNECTIONS_MAX,
        resolve: Resolve | None = None,
        dial: httpcore2.AsyncNetworkBackend | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._origin = (url.scheme, url.host, url.port)
        if url.scheme == "https" and tls is None:
            tls = system_tls()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            max_connections=connections_max,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=CheckedBackend(url, zones, resolve or resolved, dial or httpcore2.AnyIOBackend()),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        if _origin(url) != self._origin:
            raise OtherOrigin
        assert isinstance(request.stream, AsyncIterable)
        with _as_httpx():
            response = await self._pool.handle_async_request(
                httpcore2.Request(
                    method=request.method,
                    url=httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        return httpx2.Response(
            response.status,
            headers=response.headers,
            stream=_Stream(response),
            extensions=response.extensions,
            request=request,
        )

    async def aclose(self) -> None:
        with _as_httpx():
            await self._pool.aclose()


class CheckedBackend(httpcore2.AsyncNetworkBackend):
    """Opens connections to the checked addresses of one URL's host, whatever host it is asked for."""

    def __init__(
        self, url: GatewayUrl, zones: Collection[Zone], resolve: Resolve, dial: httpcore2.AsyncNetworkBackend
    ) -> None:
        self._url, self._zones, self._resolve, self._dial = url, zones, resolve, dial

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # its caller's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        end = loop.time() + (CONNECT_SECONDS if timeout is None else timeout)
        try:
            async with asyncio.timeout_at(end):
                addresses = await self._addresses()
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        return await self._dial_first(addresses[:DIALLED_MAX], end)

    async def _addresses(self) -> tuple[Address, ...]:
        known = self._url.address
        answers = await self._resolve(self._url.host, self._url.port) if known is None else [known]
        return allowed(self._url, answers, self._zones)

    async def _dial_first(self, addresses: Sequence[Address], end: float) -> httpcore2.AsyncNetworkStream:
        """The first that answers; one that swallows all packets takes its share of the time and no more."""
        now = asyncio.get_running_loop().time
        failed: Exception = httpcore2.ConnectTimeout()
        for left in range(len(addresses), 0, -1):
            address, seconds = addresses[-left], max(0.0, end - now()) / left
            try:
                return await self._dial.connect_tcp(str(address), self._url.port, seconds, None, NO_DELAY)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed


async def resolved(host: str, port: int) -> list[Address]:
    """What the system answers for a name. Raises `NameUnknown`."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise NameUnknown from error
    return [ip_address(answer[4][0]) for answer in found]


async def content(response: httpx2.Response, bytes_max: int) -> bytes:
    """All of an answer's body, as it came. Raises `TooLarge` once there is more of it."""
    assert isinstance(response.stream, AsyncIterable)
    read = bytearray()
    async for part in response.stream:
        if read:
            await asyncio.sleep(0)  # of what came in tiny parts all are here at once; let others have their turn
        read += part
        if len(read) > bytes_max:
            raise TooLarge(bytes_max)
    return bytes(read)


def system_tls() -> ssl.SSLContext:
    """Trust in what the system trusts, whatever the environment says; takes some 60 ms."""
    return httpx2.create_ssl_context(trust_env=False)


class _Stream(httpx2.AsyncByteStream):
    """An answer's bytes as they come."""

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _as_httpx():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        with _as_httpx():
            await self._response.aclose()


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    scheme = WEB_SOCKET_SCHEMES.get(url.scheme, url.scheme)
    return scheme, url.raw_host.decode(), url.port or {"http": 80, "https": 443}.get(scheme)


def _check_head(response: httpx2.Response, statuses: Collection[int], *, as_json: bool) -> None:
    if 300 <= response.status_code < 400:
        raise Redirected
    if response.status_code not in statuses:
        raise BadStatus(response.status_code)
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise Compressed
    # Of several content types the headers make one text, which is none.
    kind = response.headers.get("content-type", "").lower().replace(" ", "")
    if as_json and kind not in ("application/json", "application/json;charset=utf-8"):
        raise NotJson


@contextmanager
def _as_httpx() -> Iterator[None]:
    """httpcore2's faults, by the names that httpx2 has for them."""
    try:
        yield
    except tuple(_NAMES) as error:
        first = error.args[0] if error.args else None
        name = next(_NAMES[kind] for kind in type(error).__mro__ if kind in _NAMES)
        raise name(str(error)) from (first if isinstance(first, Exception) else error)


_NAMES: dict[type[BaseException], type[httpx2.TransportError]] = {
    httpcore2.ConnectTimeout: httpx2.ConnectTimeout,
    httpcore2.PoolTimeout: httpx2.PoolTimeout,
    httpcore2.ReadTimeout: httpx2.ReadTimeout,
    httpcore2.WriteTimeout: httpx2.WriteTimeout,
    httpcore2.ConnectError: httpx2.ConnectError,
    httpcore2.ReadError: httpx2.ReadError,
    httpcore2.WriteError: httpx2.WriteError,
    httpcore2.LocalProtocolError: httpx2.LocalProtocolError,
    httpcore2.RemoteProtocolError: httpx2.RemoteProtocolError,
}


@contextmanager
def named_faults(bounds: Bounds) -> Iterator[None]:
    """Around a call by `CheckedTransport`: its faults, by our names for them."""
    try:
        yield
    except httpx2.ConnectTimeout:
        raise TimedOut(bounds.connect_seconds) from None
    except (TimeoutError, httpx2.TimeoutException):
        raise TimedOut(bounds.total_seconds) from None
    except (httpx2.NetworkError, httpx2.RemoteProtocolError, ssl.SSLError) as error:
        # Not from it: what it came from may quote the answer.
        raise _fault(error) from None


def _fault(error: BaseException) -> CallError:
    # Not at the handshake only: a server that wants a certificate of ours says so after it.
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return TlsRefused()
    return Unreachable() if isinstance(error, httpx2.ConnectError) else AnswerBroken()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
