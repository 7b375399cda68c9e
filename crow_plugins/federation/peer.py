"""One other instance, as it is called: over connections that are kept, with a token of its own for each request.

A call costs one POST, and one more on a connection that is new: the other end shows first that it is that instance.
What comes back is believed only if the instance has signed it. Nothing of an assistant's own request goes along.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Collection, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore2
import httpx2
import mcp_types

from crow_hooks import Credentials, Crow, CrowError, InstanceRegistry, KnownInstance
from crow_plugins.federation.breaker import Breaker
from crow_plugins.federation.exchange import Exchange, NotMcp, Progress
from crow_plugins.federation.meeting import meeting
from crow_plugins.federation.message import CALL_TOOL, LIST_TOOLS
from crow_plugins.federation.signed import SignedTransport
from crow_plugins.outbound import urls
from crow_plugins.outbound.calling import USUAL_BOUNDS, CheckedTransport, named_faults
from crow_plugins.outbound.opening import LookingBackend
from crow_plugins.outbound.urls import Zone

log = logging.getLogger(__name__)

CALLS_AT_ONCE = 8
PAGES_MAX = 100  # of one instance's tools


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
        self._registry, self.known = registry, known
        url = urls.parse(known.gateway_url)
        dial = LookingBackend(httpcore2.AnyIOBackend(), url, meeting(crow, known, chain))
        pool = CheckedTransport(url, zones, connections_max=CALLS_AT_ONCE, dial=dial, tls=tls)
        self._way = SignedTransport(pool, crow, registry, known, instance_key)
        self._client = httpx2.AsyncClient(
            transport=self._way,
            headers={"accept-encoding": "identity", "user-agent": "crow"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=httpx2.Timeout(None, connect=USUAL_BOUNDS.connect_seconds),  # whoever calls has a deadline
            follow_redirects=False,
            trust_env=False,
        )
        self._exchange = Exchange(f"{url.text}/mcp", self._client)
        self.turns = asyncio.Semaphore(CALLS_AT_ONCE)  # whoever calls a tool here has one
        self.breaker = Breaker(time.monotonic)

    async def call_tool(
        self, name: str, arguments: Mapping[str, object], progress: Progress | None = None
    ) -> mcp_types.CallToolResult:
        """The MCP result. Raises `Refusal`, `BadProof`, a `CallError` or a `ForbiddenZone`."""
        result = await self._ask(CALL_TOOL, {"name": name, "arguments": dict(arguments)}, progress)
        if not isinstance(result, mcp_types.CallToolResult):  # it wants to be told something first
            raise NotMcp
        return result

    async def list_tools(self) -> list[mcp_types.Tool]:
        """All pages of the tools. Raises as `call_tool` does."""
        tools: list[mcp_types.Tool] = []
        page: dict[str, object] = {}
        for _ in range(PAGES_MAX):
            result = await self._ask(LIST_TOOLS, page)
            tools += result.tools
            if result.next_cursor is None:
                return tools
            page = {"cursor": result.next_cursor}
        raise NotMcp

    async def close(self) -> None:
        await self._client.aclose()

    async def _ask(self, method: str, parameters: Mapping[str, object], progress: Progress | None = None) -> Any:
        try:
            with named_faults(USUAL_BOUNDS):
                return await self._exchange.ask(method, parameters, progress)
        finally:  # the connection is closed or handed back by now: who goes away meanwhile takes nothing along
            await self._learn()

    async def _learn(self) -> None:
        """Take what came along with an answer. Nothing of it concerns the call."""
        statements, self._way.revocations = self._way.revocations, ()
        if not statements:
            return
        try:
            await asyncio.to_thread(self._registry.learn, Credentials((), statements))
        except CrowError as error:
            log.warning("revocations of another instance not kept instance=%s reason=%s", self.known.instance.id, error)
