"""A client of one peer that is kept from call to call, and what HTTP said while it was used.

Making a client costs as much as a call, so it stays open; but whoever's request fails may take its session along, so it
serves one call at a time and ends with the first that fails. Nothing of an assistant's own request goes along.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Literal, TypeVar

import httpx2
import mcp_types
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.providers.proxy import ProxyClient

from crow_plugins.federation.refusal import Refusal
from crow_plugins.outbound.calling import CallError, CheckedTransport, TooLarge
from crow_plugins.token import BadProof

log = logging.getLogger(__name__)

MODERN = "2026-07-28"
ANSWER_BYTES_MAX = 8 * 2**20
CONNECT_SECONDS = 3.0
REFUSED_FROM = 400

Client = ProxyClient[Any]
Result = TypeVar("Result")


class Line:
    """Opened by its first call; `known` is what the peer said of itself before, which saves asking."""

    def __init__(
        self, url: str, pool: CheckedTransport, auth: httpx2.Auth, known: mcp_types.DiscoverResult | None
    ) -> None:
        self._pool = pool
        self._opened: contextlib.AsyncExitStack | None = None
        self._refused: list[Refusal] = []
        self._failed: list[Exception] = []  # of who answers, whatever the client makes of it
        mode: Literal["auto"] | str = MODERN if known is not None else "auto"
        self._client: Client = ProxyClient(
            StreamableHttpTransport(url, auth=auth, httpx_client_factory=self._http),
            mode=mode,
            **({"prior_discover": known} if known is not None else {}),
            forward_incoming_headers=False,
            roots=None,
            sampling_handler=None,
            elicitation_handler=None,
            log_handler=None,
        )

    async def run(self, use: Callable[[Client], Awaitable[Result]]) -> Result:
        """One use of the client. Raises `Refusal`, `BadProof`, and what the client raises; then the line is closed."""
        try:
            if self._opened is None:
                # In a context of its own: it outlives the request in which it is made, and must keep nothing of that.
                await asyncio.get_running_loop().create_task(self._open(), context=contextvars.Context())
            return await use(self._client)
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception) and (self._failed or self._refused):
                raise [*self._failed, *self._refused][0] from None
            raise

    @property
    def discovered(self) -> mcp_types.DiscoverResult | None:
        """What the peer said of itself; None where it speaks the handshake era, whose sessions end by themselves."""
        return getattr(self._client.session, "discover_result", None)

    async def close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is None:
            return
        try:
            await opened.aclose()
        except Exception as error:  # a client whose session broke says so again when it is closed
            log.debug("line closed error=%s", type(error).__name__)

    async def _open(self) -> None:
        stack = contextlib.AsyncExitStack()
        await stack.enter_async_context(self._client)
        self._opened = stack

    def _http(
        self,
        headers: dict[str, str] | None = None,
        timeout: object = None,
        auth: httpx2.Auth | None = None,
        **_: object,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=Shared(self._pool, self._failed),
            headers=headers,
            auth=Watched(auth, self._failed) if auth is not None else None,
            timeout=httpx2.Timeout(30.0, connect=CONNECT_SECONDS),
            follow_redirects=False,
            trust_env=False,
            event_hooks={"response": [self._heard]},
        )

    async def _heard(self, response: httpx2.Response) -> None:
        if response.status_code >= REFUSED_FROM:
            self._refused.append(_refusal(response.status_code, await response.aread()))


class Shared(httpx2.AsyncBaseTransport):
    """A pool that outlives the clients over it, and reads no answer beyond a bound."""

    def __init__(self, inner: CheckedTransport, failed: list[Exception]) -> None:
        self._inner, self._failed = inner, failed

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except (BadProof, Refusal, CallError) as error:  # of a new connection
            self._failed.append(error)
            raise
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = Bounded(response.stream)
        return response

    async def aclose(self) -> None:
        """The pool is closed by whoever made it."""


class Bounded(httpx2.AsyncByteStream):
    """An answer's bytes, so many and no more."""

    def __init__(self, inner: httpx2.AsyncByteStream) -> None:
        self._inner = inner

    async def __aiter__(self) -> AsyncIterator[bytes]:
        count = 0
        async for part in self._inner:
            count += len(part)
            if count > ANSWER_BYTES_MAX:
                raise TooLarge(ANSWER_BYTES_MAX)
            yield part

    async def aclose(self) -> None:
        await self._inner.aclose()


class Watched(httpx2.Auth):
    """Remembers why an answer was not believed: on its way up, a client may turn that into something else."""

    requires_request_body = True

    def __init__(self, inner: httpx2.Auth, failed: list[Exception]) -> None:
        self._inner, self._failed = inner, failed

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        flow = self._inner.async_auth_flow(request)
        try:
            sent = await anext(flow)
            while True:
                response = yield sent
                sent = await flow.asend(response)
        except StopAsyncIteration:
            return
        except BadProof as error:
            self._failed.append(error)
            raise


def _refusal(status: int, body: bytes) -> Refusal:
    try:
        said = json.loads(body)
        code, reason = str(said["code"])[:64], str(said["error_description"])[:300]
    except (ValueError, KeyError, TypeError):
        code, reason = "refused", f"the other instance answered with status {status}"
    return Refusal(status, code, reason)
