"""Plugins switched on and off while assistants of both protocol eras are connected, over HTTP and over stdio."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.messages import MessageHandler
from fastmcp.client.transports import StreamableHttpTransport
from mcp.client.subscriptions import listen
from mcp_types import ToolListChangedNotification

from crow_plugins.host import Host
from tests.gateway_process import Gateway, crow, running_gateway
from tests.test_stdio import stdio

pytestmark = pytest.mark.anyio
TOLD_SECONDS_MAX = 60  # a bound for a loaded machine; what is promised is a second


class Ear(MessageHandler):
    """Counts how often the server said that its tools changed."""

    def __init__(self) -> None:
        self.told = asyncio.Event()

    async def on_tool_list_changed(self, message: ToolListChangedNotification) -> None:
        self.told.set()

    async def wait(self) -> None:
        await asyncio.wait_for(self.told.wait(), TOLD_SECONDS_MAX)
        self.told.clear()


@asynccontextmanager
async def handshake_client(gateway: Gateway, ear: Ear) -> AsyncIterator[Client[Any]]:
    transport = StreamableHttpTransport(gateway.mcp, auth=gateway.token)
    async with Client(transport, mode="legacy", message_handler=ear) as client:
        yield client


async def names(client: Client[Any]) -> set[str]:
    return {tool.name for tool in await client.list_tools()}


async def switch(home: Path, verb: str) -> None:
    done = await asyncio.to_thread(crow, home, "plugins", verb, "memories")
    assert done.returncode == 0, done.stderr


async def test_clients_of_both_eras_and_a_stdio_process_follow_a_switch(home: Path) -> None:
    ear, piped = Ear(), Ear()
    with running_gateway(home) as gateway:
        modern = Client(StreamableHttpTransport(gateway.mcp, auth=gateway.token))
        pipe = stdio(home, mode="legacy", message_handler=piped)
        async with (
            handshake_client(gateway, ear) as legacy,
            modern,
            pipe,
            listen(modern.session, tools_list_changed=True) as changes,
        ):
            told = aiter(changes)
            for verb, there in (("disable", False), ("enable", True)):
                await switch(home, verb)
                await asyncio.gather(ear.wait(), piped.wait(), asyncio.wait_for(anext(told), TOLD_SECONDS_MAX))
                for client in (legacy, modern, pipe):
                    assert ("crow_store_memory" in await names(client)) == there
                    assert "crow_list_plugins" in await names(client)


async def test_a_tool_of_a_plugin_that_went_off_cannot_be_called(host: Host) -> None:
    async with Client(host.server) as client:
        host.home.manifest.write_text('[[plugin]]\nname = "memories"\nenabled = false\n')
        await asyncio.to_thread(host.reload_manifest)
        with pytest.raises(Exception, match="Unknown tool"):
            await client.call_tool("crow_store_memory", {"content": "x"})
        with pytest.raises(Exception, match=r"not found|Unknown resource"):
            await client.read_resource("crow://memories/00000000-0000-4000-8000-000000000000")
        assert "catch_up" not in {prompt.name for prompt in await client.list_prompts()}
        assert not [each for each in await client.list_resource_templates() if "memories" in str(each.uri_template)]


class Heard(logging.Handler):
    """Is set once a log line holds these words."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.event, self._words, self._loop = asyncio.Event(), words, asyncio.get_running_loop()

    def emit(self, record: logging.LogRecord) -> None:
        if self._words in record.getMessage():
            self._loop.call_soon_threadsafe(self.event.set)


async def test_a_broken_manifest_leaves_what_runs_as_it_is_until_it_is_mended(host: Host) -> None:
    heard = Heard("there is no plugin memorys; did you mean memories?")
    logging.getLogger("crow_plugins.switching").addHandler(heard)
    async with Client(host.server) as client:
        before = await names(client)
        host.home.manifest.write_text('[[plugin]]\nname = "memorys"\nenabled = false\n')
        await asyncio.wait_for(heard.event.wait(), TOLD_SECONDS_MAX)
        assert await names(client) == before
        async with listen(client.session, tools_list_changed=True) as changes:
            host.home.manifest.write_text('[[plugin]]\nname = "memories"\nenabled = false\n')
            await asyncio.wait_for(anext(aiter(changes)), TOLD_SECONDS_MAX)
        assert await names(client) == {name for name in before if "memor" not in name}


async def test_a_plugin_that_is_new_with_its_settings_keeps_nothing_else_from_being_switched(host: Host) -> None:
    new = '[[plugin]]\nname = "probe"\nmodule = "tests.plugins.probe"\n[plugin.settings]\nhangs = "startup"\n'
    host.home.manifest.write_text(new + '[[plugin]]\nname = "memories"\nenabled = false\n')
    assert await asyncio.to_thread(host.reload_manifest) == {"memories"}


def test_switching_keeps_what_the_owner_of_the_file_wrote(home: Path) -> None:
    file = home / "plugin_manifest.toml"
    file.write_text('# mine\n[[plugin]]  # the one with the memories\nname = "memories"\nenabled = true  # yes\n')
    assert crow(home, "plugins", "disable", "memories").returncode == 0
    written = file.read_text()
    assert "# mine" in written
    assert "# the one with the memories" in written
    assert "enabled = false" in written
    assert file.stat().st_mode & 0o777 == 0o600
    listed = json.loads(crow(home, "plugins", "list", "--json").stdout)
    assert ("memories", False) in [(each["name"], each["enabled"]) for each in listed]


def test_an_unknown_plugin_is_named_with_the_nearest_and_nothing_is_written(home: Path) -> None:
    refused = crow(home, "plugins", "disable", "memory")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "there is no plugin memory; did you mean memories?" in refused.stderr
    assert not (home / "plugin_manifest.toml").exists()


def test_a_list_in_one_line_is_read_and_not_edited(home: Path) -> None:
    file = home / "plugin_manifest.toml"
    file.write_text('plugin = [{name = "memories", enabled = false}]\n')
    refused = crow(home, "plugins", "enable", "memories")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "write a [[plugin]] table for each" in refused.stderr
    assert file.read_text() == 'plugin = [{name = "memories", enabled = false}]\n'


REQUIRING = """
[[plugin]]
name = "diary"
module = "crow_plugins.memories.summary"
requires = ["memories"]
"""


def test_a_plugin_that_others_require_is_not_disabled_before_them(home: Path) -> None:
    file = home / "plugin_manifest.toml"
    file.write_text(REQUIRING)
    refused = crow(home, "plugins", "disable", "memories")
    assert refused.returncode == 1
    assert "memories is required by diary; disable diary first" in refused.stderr
    assert file.read_text() == REQUIRING
    assert crow(home, "plugins", "disable", "diary").returncode == 0
    assert crow(home, "plugins", "disable", "memories").returncode == 0
    refused = crow(home, "plugins", "enable", "diary")
    assert "diary requires memories, which is off" in refused.stderr
    assert "off, and so are memories" in crow(home, "plugins", "list").stdout


def test_enabling_what_the_running_gateway_never_loaded_asks_for_a_restart(home: Path) -> None:
    with running_gateway(home):
        (home / "plugin_manifest.toml").write_text(REQUIRING)
        said = crow(home, "plugins", "enable", "diary")
    assert "has never loaded diary: restart it" in said.stderr


def test_check_loads_everything_as_a_start_would(home: Path) -> None:
    assert crow(home, "plugins", "check").stdout.startswith("All is well: ")
    (home / "plugin_manifest.toml").write_text('[[plugin]]\nname = "memories"\n[plugin.settings]\ncolour = "red"\n')
    refused = crow(home, "plugins", "check")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "plugin memories: unknown setting colour" in refused.stderr
