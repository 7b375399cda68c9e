"""Every example in docs/tools.md, called by a real client on a gateway that has another one beside it.

The rows that the page names are here under the ids that it gives them; what exists only while machines run (an
address, a conflict) stands on the page under a name that is replaced. The page is gone through from its top.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client

from crow_hooks import Data, Format, Skipped
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.identity import certificate
from crow_plugins.keyring import Keyring
from crow_plugins.registry import OWN
from tests.replicator.gateways import Instance, open_instance, serving, until

pytestmark = pytest.mark.anyio
PAGE = Path(__file__).parent.parent.parent / "docs" / "tools.md"
HEADING = re.compile(r"^### `(\w+)\(.*\)`$", re.MULTILINE)
EXAMPLE = re.compile(r"```json\n(.*?)```", re.DOTALL)
SEED = b"\x0e" * 32

ADDRESS, CONFLICT = "http://100.64.0.7:3001", "2fc70a4c-75e6-5821-b935-610c322dcdab"
ROWS: list[Data] = [
    {"kind": "memory", "id": "0d2f6c1e-7b44-4a9c-8e21-5f3a9b7c6d00", "content": "The tax folder is in the left drawer"},
    {"kind": "project", "id": "5b0c7c3e-6f0d-4a55-9a0e-2f8f3a1f7a01", "name": "Corvids"},
    {"kind": "source", "id": "8f2d1c9a-3b7e-4d10-8c55-6a9e0b4d2c02", "title": "Gifts of the Crow"},
    {"kind": "note", "id": "c4a7e6b2-1d3f-4e8a-b6c9-0f5d7e2a9b03", "content": "They remember a face for years."},
    {"kind": "post", "id": "d4c3b2a1-5e6f-4a7b-8c9d-0e1f2a3b4c05", "title": "Dusk", "slug": "dusk", "content": "Caw."},
    {"kind": "contact", "id": "0e7f5a52-3c4b-4a1d-9f6e-1b2c3d4e5f60", "name": "Ann Ono"},
    {"kind": "setting", "key": "editor.font_size", "value": 12},
]


def examples() -> dict[str, list[str]]:
    """The examples of each tool, in the order of the page."""
    parts = HEADING.split(PAGE.read_text())[1:]
    return {
        name: EXAMPLE.findall(re.split(r"^#", text, maxsplit=1, flags=re.MULTILINE)[0])
        for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def make_home(folder: Path, name: str) -> Path:
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role="home", now=1_700_000_000, seed=SEED)
    return home


def keep(host: Host, rows: list[Data]) -> None:
    """Take rows as `crow import` does; those that are here stay."""
    formats = {kind: each for _, each in host.contributions("register_formats", Format) for kind in each.kinds}
    for row in rows:
        for result in formats[str(row["kind"])].read([row], False):
            assert not isinstance(result, Skipped) or result.here, result


def know(one: Instance, other: Instance) -> None:
    identity = other.host.keyring.identity
    shown = certificate.read(identity.certificate, bytes.fromhex(identity.chain))
    one.host.services.find("tests", OWN).keep(shown, identity.certificate.encode(), other.url, None)


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[tuple[Instance, dict[str, str]]]:
    """The machine that is asked, with another one beside it and a conflict between them; what stands for what."""
    async with AsyncExitStack() as stack:
        made = [open_instance(make_home(folder, name)) for name in ("grackle", "swan")]
        for each in made:
            stack.push_async_callback(asyncio.to_thread, each.host.close)
        grackle, swan = [await stack.enter_async_context(serving(each)) for each in made]
        await asyncio.to_thread(keep, grackle.host, ROWS)
        disputed: Data = {"kind": "memory", "id": "11111111-1111-4111-8111-111111111111"}
        for each, content in ((grackle, "coffee black"), (swan, "coffee with milk")):
            await asyncio.to_thread(keep, each.host, [{**disputed, "content": content}])
        for one, other in ((grackle, swan), (swan, grackle)):
            await asyncio.to_thread(know, one, other)
        await until(lambda: len(grackle.conflicts()) == 1)
        [conflict] = await asyncio.to_thread(grackle.conflicts)
        yield grackle, {ADDRESS: swan.url, CONFLICT: conflict.id}


async def test_every_tool_has_an_example_that_fits_its_arguments(host: Host) -> None:
    async with Client(host.server) as client:
        tools = {tool.name: tool for tool in await client.list_tools()}
    shown = examples()
    assert shown.keys() == tools.keys()
    for name, texts in shown.items():
        assert texts, f"{name} has no example in docs/tools.md"
        for text in texts:
            assert json.loads(text).keys() <= tools[name].input_schema["properties"].keys(), name


async def test_every_example_is_answered(tmp_path: Path) -> None:
    async with world(tmp_path) as (grackle, meant), Client(grackle.host.server) as client:
        for name, texts in examples().items():
            for text in texts:
                for said, real in meant.items():
                    text = text.replace(said, real)
                await answered(client, name, json.loads(text))


async def answered(client: Client[Any], name: str, arguments: dict[str, Any]) -> None:
    result = await client.call_tool(name, arguments, raise_on_error=False)
    assert not result.is_error, f"{name} {arguments}: {result.content}"
    assert result.structured_content is not None, f"{name} has no structured answer"
