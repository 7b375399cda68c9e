"""A small chain: installations in one process, each with a real gateway on loopback, that know each other."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import httpx2
import uvicorn

from crow_hooks import REGISTRY, KnownInstance
from crow_plugins import bearer, gateway, token
from crow_plugins.federation.audit import AUDIT, Audit
from crow_plugins.federation.inbound import INBOUND, Inbound
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.identity import certificate
from crow_plugins.keyring import Keyring
from tests.plugins.small_registry import SmallRegistry

SEED = hashlib.sha256(b"one chain").digest()
MANIFEST = """
[[plugin]]
name = "registry"
module = "tests.plugins.small_registry"

[[plugin]]
name = "replicator"
enabled = false

[[plugin]]
name = "federation"
module = "crow_plugins.federation"
requires = ["registry"]
"""
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
MODERN = "2026-07-28"


def body_of(method: str, **params: object) -> bytes:
    """A message of the modern era, as bytes."""
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}).encode()


def headers_of(body: bytes) -> dict[str, str]:
    message = json.loads(body)
    headers = {**HEADERS, "MCP-Protocol-Version": MODERN, "Mcp-Method": message["method"]}
    name = message["params"].get("name")
    return {**headers, "Mcp-Name": name} if isinstance(name, str) else headers


@dataclass
class House:
    """One installation of the chain, and its gateway while it runs."""

    host: Host
    url: str = ""

    @property
    def id(self) -> str:
        return self.host.instance.id

    @property
    def registry(self) -> SmallRegistry:
        return cast(SmallRegistry, self.host.services.find("test", REGISTRY))

    @property
    def inbound(self) -> Inbound:
        return self.host.services.find("test", INBOUND)

    @property
    def audit(self) -> Audit:
        return self.host.services.find("test", AUDIT)

    def known(self) -> KnownInstance:
        """This house as the others have it."""
        identity = self.host.keyring.identity
        return KnownInstance(
            instance=self.host.instance,
            gateway_url=self.url or None,
            instance_key=bytes.fromhex(identity.instance_key),
            noise_key=bytes.fromhex(identity.noise_key),
            feed_key=bytes.fromhex(identity.feed_key),
            certificate=identity.certificate.encode(),
            revoked=False,
            hidden=False,
            status="unknown",
            last_seen=None,
            created_at=0,
        )

    def meet(self, other: House, **changed: Any) -> None:
        self.registry.known[other.id] = replace(other.known(), **changed)

    def mint(self, audience: House, body: bytes = b"", **changed: Any) -> str:
        given: dict[str, Any] = {
            "instance_key": bytes.fromhex(self.host.keyring.identity.instance_key),
            "issuer": self.id,
            "audience": audience.id,
            "now": int(time.time()),
            "jti": secrets.token_bytes(16),
            "method": "POST",
            "body": body,
            "scopes": ["read", "write"],
        }
        return token.mint(self.host.sign, **(given | changed))

    async def assistant_token(self, *scopes: bearer.Scope) -> str:
        return await asyncio.to_thread(self._assistant_token, scopes)

    def _assistant_token(self, scopes: tuple[bearer.Scope, ...]) -> str:
        with self.host.transaction() as transaction:
            made, _ = bearer.create(transaction.db, secrets.token_hex(4), scopes or bearer.SCOPES, now=transaction.now)
        return made

    async def rows(self, count: int = 1) -> list[tuple[str, str, str, str]]:
        """Direction, tool, decision and status of what was recorded, oldest first, once there are so many."""
        deadline = time.monotonic() + 60
        while True:
            await asyncio.to_thread(self.audit.flush)
            rows = await asyncio.to_thread(self.audit.rows)
            if len(rows) >= count or time.monotonic() > deadline:
                return [(row.direction, row.tool, row.decision, row.status) for row in reversed(rows)]

    @asynccontextmanager
    async def serving(self, app: Any = None) -> AsyncIterator[None]:
        """Serve on a free port of loopback."""
        async with served(app or gateway.application(self.host)) as url:
            self.url = url
            yield


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[str, None]:
    # The protocol said outright: asyncio turns Nagle's delay off only where it sees TCP.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(256)
        config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign, assignment]
        task = asyncio.create_task(server.serve([listener]))
        try:
            while not server.started:
                assert not task.done(), "the gateway did not start"
                await asyncio.sleep(0)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await task


def build(folder: Path, name: str, *, settings: str = "", seed: bytes = SEED) -> House:
    """An installation of the chain, not serving yet."""
    make_private_folder(folder)
    if not (folder / "identity.json").exists():
        Keyring.create(folder, name=name, role="home", now=int(time.time()), seed=seed)
    (folder / "plugin_manifest.toml").write_text(MANIFEST + settings)
    os.chmod(folder / "plugin_manifest.toml", 0o600)
    return House(Host(folder))


@asynccontextmanager
async def two_houses(folder: Path, *, settings: str = "") -> AsyncIterator[tuple[House, House]]:
    """Grackle, which calls, and swan, whose gateway answers."""
    with (
        build(folder / "grackle", "grackle").host as one,
        build(folder / "swan", "swan", settings=settings).host as two,
    ):
        grackle, swan = House(one), House(two)
        async with swan.serving():
            swan.meet(grackle)
            grackle.meet(swan)
            yield grackle, swan


@asynccontextmanager
async def web(house: House) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=house.url, timeout=20) as client:
        yield client


async def post(house: House, authorization: str | Sequence[str] | None, body: bytes, **headers: str) -> httpx2.Response:
    values = [authorization] if isinstance(authorization, str) else (authorization or [])
    given = [*headers_of(body).items(), *headers.items(), *(("Authorization", f"Bearer {each}") for each in values)]
    async with web(house) as client:
        return await client.post("/mcp", content=body, headers=given)


class PeerAuth(httpx2.Auth):
    """Mints a token for every request, as a calling gateway does."""

    requires_request_body = True

    def __init__(self, issuer: House, audience: House) -> None:
        self._issuer, self._audience = issuer, audience

    def auth_flow(self, request: httpx2.Request) -> Any:
        made = self._issuer.mint(self._audience, request.content, method=request.method)
        request.headers["Authorization"] = f"Bearer {made}"
        yield request


def certified(house: House, **changed: Any) -> bytes:
    """A certificate of a house with some fields changed, by the chain."""
    from crow_plugins.identity.keys import chain_key

    own = certificate.read(house.host.keyring.identity.certificate, chain_key(SEED).public_key)
    return certificate.issue(replace(own, **changed), chain_key(SEED))
