"""The how-to's folder, written as shown: fewer than 80 lines, and a kind like every other, on two machines."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_hooks import Check, Format
from crow_plugins.host import Host
from tests.replicator.gateways import Instance, acquainted, make_home, open_instance, serving, until
from tests.tool_calls import call

PAGE = Path(__file__).parent.parent.parent / "docs" / "another-kind.md"
FILE = re.compile(r"\*\*`(?P<name>\S+)`\*\*\n```\w+\n(?P<text>.*?)```", re.DOTALL)
SEED = b"\7" * 32
LINES_MAX = 80


def files() -> dict[str, str]:
    return {match["name"]: match["text"] for match in FILE.finditer(PAGE.read_text())}


def code_lines(text: str) -> int:
    """Lines that say something: no blank ones, no quoted sentence on a line of its own."""
    return sum(bool(line.strip()) and not line.strip().startswith('"""') for line in text.splitlines())


@pytest.fixture
def kitchen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Homes with the page's folder and manifest."""
    shown = files()
    for name in [name for name in shown if not name.startswith("~")]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(shown[name])
    monkeypatch.syspath_prepend(tmp_path)

    def make(name: str) -> Path:
        home = make_home(tmp_path, name, SEED)
        manifest = home / "plugin_manifest.toml"
        manifest.write_text(manifest.read_text() + shown["~/.crow/plugin_manifest.toml"])
        return home

    yield make
    for name in [name for name in sys.modules if name.split(".")[0] == "crow_recipes"]:
        del sys.modules[name]


@pytest.fixture
def host(kitchen: Callable[[str], Path], open_host: Callable[..., Host]) -> Host:
    return open_host(kitchen("heron"))


def test_it_takes_fewer_lines_than_promised() -> None:
    assert sum(code_lines(text) for name, text in files().items() if name.endswith(".py")) < LINES_MAX


@pytest.mark.anyio
async def test_recipes_are_kept_found_and_deleted(host: Host) -> None:
    async with Client(host.server) as client:
        kept = await call(client, "recipe_add", name="Rösti", ingredients=["potatoes", "butter"])
        for query in ("rosti", "potato"):
            assert (await call(client, "recipe_find", query=query))["items"] == [{"id": kept["id"], "name": "Rösti"}]
        found = await call(client, "crow_search", query="butter")
        assert [(hit["kind"], hit["title"]) for hit in found["items"]] == [("recipe", "Rösti")]
        assert await call(client, "recipe_delete", id=kept["id"]) == {"deleted": "Rösti"}
        with pytest.raises(ToolError, match=r"^not_found: no recipe .*; find recipes to see their ids"):
            await call(client, "recipe_delete", id=kept["id"])
        with pytest.raises(ToolError, match=r"^invalid: name must not be empty"):
            await call(client, "recipe_add", name="", ingredients=[])


def test_recipes_are_exported_imported_and_checked(host: Host) -> None:
    [format] = [each for plugin, each in host.contributions("register_formats", Format) if plugin == "recipes"]
    assert list(format.read([{"kind": "recipe", "name": "Fondue", "ingredients": ["cheese"]}], False)) == [None]
    [record] = list(format.write())
    assert (record["name"], record["ingredients"]) == ("Fondue", ["cheese"])
    assert [result and result.here for result in format.read([json.loads(json.dumps(record))], False)] == [True]
    [check] = [each for plugin, each in host.contributions("register_checks", Check) if plugin == "recipes"]
    assert check.run().ok


def names(instance: Instance) -> list[str]:
    with instance.host.read() as db:
        return [name for (name,) in db.execute_sql("SELECT name FROM recipes ORDER BY name").fetchall()]


@pytest.mark.anyio
async def test_recipes_travel(kitchen: Callable[[str], Path]) -> None:
    async with AsyncExitStack() as stack:
        made = [open_instance(kitchen(name)) for name in ("grackle", "swan")]
        for each in made:
            stack.push_async_callback(asyncio.to_thread, each.host.close)
        grackle, swan = [await stack.enter_async_context(serving(each)) for each in made]
        await acquainted(grackle, swan)
        async with Client(grackle.host.server) as client:
            kept = await call(client, "recipe_add", name="Rösti", ingredients=["potatoes"])
            await until(lambda: names(swan) == ["Rösti"])
            await call(client, "recipe_delete", id=kept["id"])
            await until(lambda: names(swan) == [])
