"""Thirty lines in a package of somebody else: found by its entry point, heard at every write, switched while in use."""

from __future__ import annotations

import asyncio
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from fastmcp.exceptions import ToolError
from mcp.client.subscriptions import listen

from tests.gateway_process import crow, running_gateway
from tests.test_stdio import stdio
from tests.test_switching import TOLD_SECONDS_MAX, Ear, handshake_client, names

PACKAGE = '''
"""Lets nothing be written about the surprise."""

from crow_hooks import Invalid, hookimpl
from fastmcp import FastMCP


@hookimpl
def register_server(crow):
    server = FastMCP("surprise")

    @server.tool
    def is_it_a_surprise(text: str) -> bool:
        """Whether a text tells of the surprise."""
        return "surprise" in text

    return server


@hookimpl
def on_local_write(crow, change, transaction):
    if "surprise" in str(change.data.get("content")):
        raise Invalid("nobody writes of the surprise; say it by mouth")
'''
MANIFEST = '[[plugin]]\nname = "surprise"\nentry_point = "surprise"\nenabled = true\n'
TOOL = "is_it_a_surprise"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: Path) -> Path:
    """A home that has the plugin on, of a package that every process finds."""
    packages = tmp_path / "packages"
    facts = packages / "surprise-1.0.dist-info"
    facts.mkdir(parents=True)
    (packages / "surprise.py").write_text(PACKAGE)
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: surprise\nVersion: 1.0\n")
    (facts / "entry_points.txt").write_text("[crow_plugins]\nsurprise = surprise\n")
    monkeypatch.setenv("PYTHONPATH", str(packages))
    (home / "plugin_manifest.toml").write_text(MANIFEST)
    return home


async def store(client: Client[Any], content: str) -> None:
    await client.call_tool("crow_store_memory", {"content": content})


@pytest.mark.anyio
async def test_it_is_heard_at_every_write_and_switched_under_clients_of_both_eras(installed: Path) -> None:
    ear, piped = Ear(), Ear()
    with running_gateway(installed) as gateway:
        modern = Client(StreamableHttpTransport(gateway.mcp, auth=gateway.token))
        pipe = stdio(installed, mode="legacy", message_handler=piped)
        async with (
            handshake_client(gateway, ear) as legacy,
            modern,
            pipe,
            listen(modern.session, tools_list_changed=True) as changes,
        ):
            clients, told = (legacy, modern, pipe), aiter(changes)
            for client in clients:
                assert (await client.call_tool(TOOL, {"text": "a surprise"})).data is True
                with pytest.raises(ToolError, match="say it by mouth"):
                    await store(client, "the surprise is on Sunday")
            for verb, there in (("disable", False), ("enable", True)):
                done = await asyncio.to_thread(crow, installed, "plugins", verb, "surprise")
                assert done.returncode == 0, done.stderr
                await asyncio.gather(ear.wait(), piped.wait(), asyncio.wait_for(anext(told), TOLD_SECONDS_MAX))
                for client in clients:
                    assert (TOOL in await names(client)) == there
                if not there:
                    await store(modern, "the surprise was a cake")
            found = (await modern.call_tool("crow_list_memories", {})).structured_content
    assert found is not None
    assert [memory["content"] for memory in found["items"]] == ["the surprise was a cake"]


def test_it_is_never_loaded_without_a_word_in_the_manifest(installed: Path) -> None:
    (installed / "plugin_manifest.toml").unlink()
    assert "surprise" not in crow(installed, "plugins", "list").stdout
    assert crow(installed, "remember", "the surprise is on Sunday").returncode == 0


def test_switching_it_on_lists_it_and_switching_off_what_is_not_listed_is_refused(installed: Path) -> None:
    manifest = installed / "plugin_manifest.toml"
    manifest.unlink()
    refused = crow(installed, "plugins", "disable", "surprise")
    assert (refused.returncode, manifest.exists()) == (1, False)
    assert (
        "there is no plugin suprise; did you mean surprise?" in crow(installed, "plugins", "enable", "suprise").stderr
    )
    assert crow(installed, "plugins", "enable", "surprise").stdout == "On this machine surprise is on now.\n"
    assert tomllib.loads(manifest.read_text())["plugin"] == tomllib.loads(MANIFEST)["plugin"]
    assert "say it by mouth" in crow(installed, "remember", "the surprise is on Sunday").stderr


@pytest.mark.parametrize("options", [["--dry-run"], []])
def test_an_import_leaves_out_what_its_rule_refuses_and_takes_the_rest(installed: Path, options: list[str]) -> None:
    lines = [{"kind": "memory", "content": "a cake" if number != 3 else "the surprise"} for number in range(1, 8)]
    settings = [{"kind": "setting", "key": key, "value": 1} for key in ("one", "two")]
    text = "".join(f"{json.dumps(line)}\n" for line in [*lines, *settings])
    said = crow(installed, "import", "-", "--json", *options, stdin=text)
    answer = json.loads(said.stdout)
    assert (answer["imported"], answer["already_here"]) == (8, 0)
    assert answer["skipped"] == [{"line": 3, "reason": "nobody writes of the surprise; say it by mouth"}]
    kept = crow(installed, "export", "-").stdout.splitlines()
    assert len(kept) == (0 if options else 8)
