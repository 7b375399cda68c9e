"""Three instances that know one another, each a gateway on loopback with every built-in plugin but the replicator."""

from __future__ import annotations

import secrets
import time
from asyncio import to_thread
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from crow_hooks import FEDERATION
from crow_plugins import bearer
from crow_plugins.files import make_private_folder
from crow_plugins.identity import certificate
from crow_plugins.keyring import Keyring
from crow_plugins.registry import OWN
from tests.replicator.gateways import Instance, open_instance, serving

SEED = b"\x0d" * 32
# What they hold is not to be equal here.
MANIFEST = '[[plugin]]\nname = "replicator"\nenabled = false\n'


def make_home(folder: Path, name: str) -> Path:
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role="home", now=int(time.time()), seed=SEED)
    (home / "plugin_manifest.toml").write_text(MANIFEST)
    return home


@pytest.fixture
def made(tmp_path: Path) -> Iterator[dict[str, Instance]]:
    instances = {name: open_instance(make_home(tmp_path, name)) for name in ("grackle", "swan", "heron")}
    yield instances
    for each in instances.values():
        each.host.close()


@asynccontextmanager
async def chain(made: dict[str, Instance]) -> AsyncIterator[list[Instance]]:
    """All three serving, and all known to all."""
    async with AsyncExitStack() as stack:
        instances = [await stack.enter_async_context(serving(each)) for each in made.values()]
        for one in instances:
            for other in instances:
                if one is not other:
                    await to_thread(know, one, other, other.url)
        yield instances


def know(one: Instance, other: Instance, url: str | None) -> None:
    """Have one know the other: by its address, or only by a certificate that came along with somebody else's feed."""
    identity = other.host.keyring.identity
    shown, signed = certificate.read(identity.certificate, bytes.fromhex(identity.chain)), identity.certificate.encode()
    registry = one.host.services.find("tests", OWN)
    if url is None:
        registry.announced(shown, signed, None)
    else:
        registry.keep(shown, signed, url, None)


def federation(instance: Instance) -> Any:
    return instance.host.services.find("tests", FEDERATION)


async def call_tool(asked: Instance, name: str, /, **arguments: Any) -> dict[str, Any]:
    async with Client(asked.host.server) as client:
        result = await client.call_tool(name, arguments)
    structured: dict[str, Any] | None = result.structured_content
    assert structured is not None
    return structured


async def over_http(asked: Instance, tool: str, /, **arguments: Any) -> str:
    """Call a tool as an assistant does, by HTTP with a token of its own; returns the token."""
    token = await to_thread(assistant_token, asked)
    async with Client(StreamableHttpTransport(f"{asked.url}/mcp", auth=token)) as client:
        await client.call_tool(tool, arguments)
    return token


def assistant_token(asked: Instance) -> str:
    with asked.host.transaction() as transaction:
        made, _ = bearer.create(transaction.db, secrets.token_hex(4), bearer.SCOPES, now=transaction.now)
    return made
