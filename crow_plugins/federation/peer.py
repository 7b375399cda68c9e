"""One other instance, as it is called: over connections that are kept, with a token of its own for each request.

A call costs one POST. What comes back is believed only if the instance has signed it; a clock that is off is
corrected once by what the other says under its signature. Nothing of an assistant's own request goes along.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Generator, Mapping
from typing import Any, Literal

import httpx2
import mcp_types
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.server.providers.proxy import ProxyClient

from crow_hooks import Crow, KnownInstance
from crow_plugins import token
from crow_plugins.federation.breaker import Breaker
from crow_plugins.federation.refusal import Refusal
from crow_plugins.outbound import urls
from crow_plugins.outbound.calling import CheckedTransport, TooLarge
from crow_plugins.outbound.urls import Zone
from crow_plugins.token import BadProof

MODERN = "2026-07-28"
CALLS_AT_ONCE = 8
ANSWER_BYTES_MAX = 8 * 2**20
CONNECT_SECONDS = 3.0
REFUSED_FROM = 400
UNAUTHORIZED = 401


class Signed(httpx2.Auth):
    """Puts a fresh token on each request and holds the answer's proof against it."""

    requires_request_body = True

    def __init__(self, crow: Crow, known: KnownInstance, instance_key: bytes, offset: float, scopes: Collection[str]):
        self._crow, self._known, self._instance_key, self._scopes = crow, known, instance_key, sorted(scopes)
        self.offset = offset
        self.status: int | None = None

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        response = yield self._signed(request)
        if response.status_code == UNAUTHORIZED and self._corrected(response):
            response = yield self._signed(request)
        self._check(response)
        self.status = response.status_code

    def _signed(self, request: httpx2.Request) -> httpx2.Request:
        self._jti = secrets.token_bytes(token.JTI_BYTES)
        minted = token.mint(
            self._crow.sign,
            instance_key=self._instance_key,
            issuer=self._crow.instance.id,
            audience=self._known.instance.id,
            now=int(time.time() + self.offset),
            jti=self._jti,
            method=request.method,
            body=request.content,
            scopes=self._scopes,
        )
        request.headers["authorization"] = f"Bearer {minted}"
        return request

    def _check(self, response: httpx2.Response, at: int | None = None) -> None:
        token.check_proof(
            response.headers.get("crow-proof"),
            instance_key=self._known.instance_key,
            instance_id=self._known.instance.id,
            jti=self._jti,
            status=response.status_code,
            time=at,
        )

    def _corrected(self, response: httpx2.Response) -> bool:
        """Whether the other told its time, under its signature, and ours was off."""
        said = response.headers.get("crow-time", "")
        if not said.isdigit():
            return False
        self._check(response, int(said))
        offset = int(said) - time.time()
        corrected = abs(offset - self.offset) > token.LEEWAY_SECONDS
        self.offset = offset
        return corrected


class Shared(httpx2.AsyncBaseTransport):
    """A pool that outlives the clients over it, and reads no answer beyond a bound."""

    def __init__(self, inner: CheckedTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
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


class Peer:
    """One instance at one address. Its callers take turns, so that none floods it: `async with peer.turns`."""

    def __init__(
        self, crow: Crow, known: KnownInstance, instance_key: bytes, zones: Collection[Zone], tls: ssl.SSLContext | None
    ) -> None:
        assert known.gateway_url is not None
        self._crow, self.known, self._instance_key = crow, known, instance_key
        url = urls.parse(known.gateway_url)
        self._pool = CheckedTransport(url, zones, connections_max=CALLS_AT_ONCE, tls=tls)
        self._url = f"{url.text}/mcp"
        self.turns = asyncio.Semaphore(CALLS_AT_ONCE)  # whoever calls a tool here has one
        self.breaker = Breaker(time.monotonic)
        self._offset = 0.0
        self._discovered: Any = None

    async def call_tool(self, name: str, arguments: Mapping[str, object], progress: Any = None) -> Any:
        """The MCP result. Raises `Refusal`, `BadProof`, and what the client raises."""

        async def call(client: ProxyClient[Any]) -> Any:
            return await client.call_tool_mcp(name, dict(arguments), progress_handler=progress)

        return await self._with_client(call, ["read", "write"])

    async def list_tools(self) -> list[mcp_types.Tool]:
        async def listed(client: ProxyClient[Any]) -> Any:
            return await client.list_tools()

        found: list[mcp_types.Tool] = await self._with_client(listed, ["read", "write"])
        return found

    async def close(self) -> None:
        await self._pool.aclose()

    async def _with_client(self, use: Any, scopes: Collection[str]) -> Any:
        auth = Signed(self._crow, self.known, self._instance_key, self._offset, scopes)
        refused: list[Refusal] = []
        failed: list[BaseException] = []
        try:
            client = self._client(auth, refused, failed)
            async with client:
                result = await use(client)
                self._discovered = getattr(client.session, "discover_result", None)
            self._offset = auth.offset
        except Exception:
            self._discovered = None
            if failed:
                raise failed[0] from None
            if refused:
                raise refused[0] from None
            raise
        return result

    def _client(self, auth: Signed, refused: list[Refusal], failed: list[BaseException]) -> ProxyClient[Any]:
        async def tap(response: httpx2.Response) -> None:
            if response.status_code >= REFUSED_FROM:
                refused.append(_refusal(response.status_code, await response.aread()))

        def factory(headers: Any = None, timeout: Any = None, auth: Any = None, **_: Any) -> httpx2.AsyncClient:
            return httpx2.AsyncClient(
                transport=Shared(self._pool),
                headers=headers,
                auth=Watched(auth, failed) if auth is not None else None,
                timeout=httpx2.Timeout(30.0, connect=CONNECT_SECONDS),
                follow_redirects=False,
                trust_env=False,
                event_hooks={"response": [tap]},
            )

        known = self._discovered
        mode: Literal["auto"] | str = MODERN if known is not None else "auto"
        return ProxyClient(
            StreamableHttpTransport(self._url, auth=auth, httpx_client_factory=factory),
            mode=mode,
            **({"prior_discover": known} if known is not None else {}),
            forward_incoming_headers=False,
            roots=None,
            sampling_handler=None,
            elicitation_handler=None,
            log_handler=None,
        )


class Watched(httpx2.Auth):
    """Remembers why an answer was not believed: on its way up, a client may turn that into something else."""

    requires_request_body = True

    def __init__(self, inner: httpx2.Auth, failed: list[BaseException]) -> None:
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
