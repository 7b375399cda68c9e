"""Any one plugin off, with those that require it: its feature is missing, and nothing else."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from starlette.testclient import TestClient

from crow_plugins import manifest
from crow_plugins.cli.app import run
from crow_plugins.config import Home
from crow_plugins.doctor import Premises, examine
from crow_plugins.gateway import application
from crow_plugins.host import Host

BUILT_IN = [plugin.name for plugin in manifest.load().plugins]


def with_users(name: str) -> set[str]:
    """A plugin and all that cannot do without it."""
    off = {name}
    for plugin in manifest.load().plugins:  # each stands after those it requires
        if off.intersection(plugin.requires):
            off.add(plugin.name)
    return off


def switch_off(home: Path, names: set[str]) -> None:
    lines = [f'[[plugin]]\nname = "{name}"\nenabled = false\n' for name in sorted(names)]
    (home / "plugin_manifest.toml").write_text("\n".join(lines))


@pytest.fixture
def off(request: pytest.FixtureRequest, home: Path) -> set[str]:
    names = with_users(request.param)
    switch_off(home, names)
    return names


def said(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> Any:
    """What a command answers in this process, as JSON."""
    assert run([*words, "--json", "--home", str(home)]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


@pytest.mark.anyio
@pytest.mark.parametrize("off", BUILT_IN, indirect=True)
async def test_the_tools_of_the_others_are_there_and_answer(
    off: set[str], home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    host = open_host(home)
    async with Client(host.server) as client:
        names = {tool.name for tool in await client.list_tools()}
        listed = await client.call_tool("crow_list_plugins", {})
        if "memories" not in off:
            await client.call_tool("crow_store_memory", {"content": "the kettle is new"})
            found = await client.call_tool("crow_search", {"query": "kettle"})
            assert [hit["title"] for hit in found.structured_content["items"]] == ["the kettle is new"]
    assert ("crow_store_memory" in names) == ("memories" not in off)
    assert ("crow_list_instances" in names) == ("registry" not in off)
    assert ("crow_sync_status" in names) == ("replicator" not in off)
    enabled = {plugin["name"]: plugin["enabled"] for plugin in listed.structured_content["plugins"]}
    assert [name for name in off if enabled[name]] == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


@pytest.mark.parametrize("off", BUILT_IN, indirect=True)
def test_the_gateway_answers_and_nothing_is_wrong(
    off: set[str], home: Path, open_host: Callable[..., Host], caplog: pytest.LogCaptureFixture
) -> None:
    host = open_host(home)
    with TestClient(application(host), base_url="http://127.0.0.1", follow_redirects=False) as web:
        assert web.get("/health").json()["status"] == "ok"
        assert (web.get("/nest").status_code == 404) == ("nest" in off)
        assert (web.post("/.well-known/crow").status_code == 404) == ("registry" in off)
    looked_at = examine(Premises(Home(home), None, int(time.time())))
    assert [line for line in looked_at if not line.finding.ok] == []
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("off", BUILT_IN, indirect=True)
def test_the_terminal_says_what_is_missing_and_why(
    off: set[str], home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, home, "status")["name"] == "grackle"
    listed = {plugin["name"]: plugin for plugin in said(capsys, home, "plugins", "list")}
    for name in off:
        assert not listed[name]["enabled"]
        assert listed[name]["said_in"].startswith(str(home / "plugin_manifest.toml"))
    assert run(["plugins", "list", "--home", str(home)]) == 0
    shown = capsys.readouterr().out
    for plugin in manifest.load().plugins:
        row = next(line for line in shown.splitlines() if line.startswith(f"{plugin.name} "))
        missing = [name for name in plugin.requires if name in off]
        if plugin.name in off and missing:
            assert f"off, and so are {', '.join(missing)}, which it requires" in " ".join(row.split())
