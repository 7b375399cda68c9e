"""One other instance, as it is called: over connections that are kept, with a token of its own for each request.

A call costs one POST, and one more on a connection that is new: the other end shows first that it is that instance.
What comes back is believed only if the instance has signed it; a clock that is off is corrected once by what the other
says under its signature.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable, Collection, Generator, Mapping
from typing import Any

import httpcore2
import httpx2
import mcp_types

from crow_hooks import Credentials, Crow, CrowError, InstanceRegistry, KnownInstance
from crow_plugins import token
from crow_plugins.federation.breaker import Breaker
from crow_plugins.federation.line import Client, Line, Result
from crow_plugins.federation.meeting import meeting
from crow_plugins.federation.telling import HEARD_HEADER, REVOCATIONS_HEADER, digest, heard
from crow_plugins.outbound import urls
from crow_plugins.outbound.calling import CheckedTransport
from crow_plugins.outbound.opening import LookingBackend
from crow_plugins.outbound.urls import Zone

log = logging.getLogger(__name__)

CALLS_AT_ONCE = 8
SCOPES = ("read", "write")
UNAUTHORIZED = 401
TIME = re.compile(r"[0-9]{1,15}", re.ASCII)


class Signed(httpx2.Auth):
    """Puts a fresh token on each request and holds the answer's proof against it."""

    requires_request_body = True

    def __init__(
        self, crow: Crow, registry: InstanceRegistry, known: KnownInstance, instance_key: bytes, offset: int
    ) -> None:
        self._crow, self._registry, self._known, self._instance_key = crow, registry, known, instance_key
        self.offset = offset
        self.revocations: tuple[bytes, ...] = ()  # that came along with the last answer

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        response = yield self._signed(request)
        told = self._checked(response)
        if response.status_code == UNAUTHORIZED and told is not None and self._corrected(told):
            response = yield self._signed(request)
            self._checked(response)

    def _signed(self, request: httpx2.Request) -> httpx2.Request:
        self._jti = secrets.token_bytes(token.JTI_BYTES)
        minted = token.mint(
            self._crow.sign,
            instance_key=self._instance_key,
            issuer=self._crow.instance.id,
            audience=self._known.instance.id,
            now=self._crow.now() + self.offset,
            jti=self._jti,
            method=request.method,
            body=request.content,
            scopes=SCOPES,
        )
        request.headers["authorization"] = f"Bearer {minted}"
        request.headers[HEARD_HEADER] = digest(self._registry.credentials().revocations)
        return request

    def _checked(self, response: httpx2.Response) -> int | None:
        """The hour that an answer tells, if it tells one. Raises `BadProof` where the other did not sign all of it."""
        said = response.headers.get("crow-time", "")
        told = int(said) if TIME.fullmatch(said) else None
        token.check_proof(
            response.headers.get("crow-proof"),
            instance_key=self._known.instance_key,
            instance_id=self._known.instance.id,
            jti=self._jti,
            status=response.status_code,
            time=told,
        )
        self.revocations = heard(response.headers.get(REVOCATIONS_HEADER)) or self.revocations
        return told

    def _corrected(self, told: int) -> bool:
        """Whether our clock was off by that hour, so that another try makes sense."""
        before, self.offset = self.offset, told - self._crow.now()
        return abs(self.offset - before) > token.LEEWAY_SECONDS


class Peer:
    """One instance at one address. Its callers take turns, so that none floods it: `async with peer.turns`."""

    def __init__(
        self,
        crow: Crow,
        registry: InstanceRegistry,
        known: KnownInstance,
        instance_key: bytes,
        chain: bytes,
        zones: Collection[Zone],
        tls: ssl.SSLContext | None,
    ) -> None:
        assert known.gateway_url is not None
        self._crow, self._registry, self.known, self._instance_key = crow, registry, known, instance_key
        url = urls.parse(known.gateway_url)
        dial = LookingBackend(httpcore2.AnyIOBackend(), url, meeting(crow, known, chain))
        self._pool = CheckedTransport(url, zones, connections_max=CALLS_AT_ONCE, dial=dial, tls=tls)
        self._url = f"{url.text}/mcp"
        self.turns = asyncio.Semaphore(CALLS_AT_ONCE)  # whoever calls a tool here has one
        self.breaker = Breaker(time.monotonic)
        self._idle: list[tuple[Line, Signed]] = []
        self._is_closed = False
        self._offset = 0  # seconds by which its clock is ahead of ours, as far as was told
        self._discovered: mcp_types.DiscoverResult | None = None

    async def call_tool(self, name: str, arguments: Mapping[str, object], progress: Any = None) -> Any:
        """The MCP result. Raises `Refusal`, `BadProof`, and what the client raises."""
        return await self._run(lambda client: client.call_tool_mcp(name, dict(arguments), progress_handler=progress))

    async def list_tools(self) -> list[mcp_types.Tool]:
        return await self._run(lambda client: client.list_tools())

    async def close(self) -> None:
        self._is_closed = True
        await self._hang_up()
        await self._pool.aclose()

    async def _run(self, use: Callable[[Client], Awaitable[Result]]) -> Result:
        line, auth = self._idle.pop() if self._idle else self._new_line()
        try:
            return await self._used(line, auth, use)
        finally:  # the line is closed or handed back by now, so a caller that goes away meanwhile takes nothing along
            await self._learn(auth)

    async def _used(self, line: Line, auth: Signed, use: Callable[[Client], Awaitable[Result]]) -> Result:
        auth.offset = self._offset
        try:
            result = await line.run(use)
        except Exception:
            self._discovered = None
            await self._hang_up()  # they took the peer for what it was before
            raise
        self._offset, self._discovered = auth.offset, line.discovered
        if self._discovered is None or self._is_closed:
            await line.close()
        else:
            self._idle.append((line, auth))
        return result

    def _new_line(self) -> tuple[Line, Signed]:
        auth = Signed(self._crow, self._registry, self.known, self._instance_key, self._offset)
        return Line(self._url, self._pool, auth, self._discovered), auth

    async def _learn(self, auth: Signed) -> None:
        """Take what came along with an answer. Nothing of it concerns the call."""
        statements, auth.revocations = auth.revocations, ()
        if not statements:
            return
        try:
            await asyncio.to_thread(self._registry.learn, Credentials((), statements))
        except CrowError as error:
            log.warning("revocations of another instance not kept instance=%s reason=%s", self.known.instance.id, error)

    async def _hang_up(self) -> None:
        idle, self._idle = self._idle, []
        for line, _ in idle:
            await line.close()
