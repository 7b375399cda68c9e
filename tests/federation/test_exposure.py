"""What other instances may call: nothing but what is named, the nearest word counts, and a person's commands."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client, FastMCP
from fastmcp.client.transports import StreamableHttpTransport
from mcp_types import ToolAnnotations

from crow_hooks import Answer, Command, Invalid, NotFound, OpenTool
from crow_plugins.federation.audit import Audit
from crow_plugins.federation.commands import AuditBroken
from crow_plugins.federation.exposure import NEVER, Exposure
from crow_plugins.federation.settings import EXPOSED
from crow_plugins.mounting import mount
from tests.federation.test_audit import CALL, tampered
from tests.federation.world import House, PeerAuth, body_of, build, post, served, two_houses

READING = {"readOnlyHint": True}
SEARCH = body_of("tools/call", name="crow_search_memories", arguments={"query": "kettle"})


@pytest.fixture
def swan(tmp_path: Path) -> Iterator[House]:
    with build(tmp_path / "swan", "swan").host as host, build(tmp_path / "grackle", "grackle").host as other:
        swan = House(host)
        swan.meet(House(other))
        yield swan


@pytest.fixture
def exposure(swan: House) -> Exposure:
    return swan.inbound.exposure


def test_by_default_it_is_exactly_the_setting(exposure: Exposure) -> None:
    exposed = exposure.of("grackle")
    assert all(exposed.allows(tool) for tool in EXPOSED)
    assert not any(exposed.allows_writing(tool) for tool in EXPOSED)
    for tool in ("crow_store_memory", "crow_list_memories", "crow_list_plugins", "", "*", "crow_searc"):
        assert not exposed.allows(tool)


def test_the_nearest_word_counts(exposure: Exposure) -> None:
    exposure.deny("crow_search")
    exposure.expose("crow_search", "grackle")
    exposure.expose("crow_list_memories")
    exposure.deny("*", "magpie")
    exposure.expose("crow_search", "magpie")
    grackle, magpie, other = (exposure.of(each) for each in ("grackle", "magpie", "other"))
    assert (grackle.allows("crow_search"), magpie.allows("crow_search"), other.allows("crow_search")) == (
        *(True, True, False),
    )
    assert (grackle.allows("crow_list_memories"), magpie.allows("crow_list_memories")) == (True, False)
    assert not magpie.allows("crow_get_memory")


def test_what_was_said_of_each_tool_says_for_whom(exposure: Exposure) -> None:
    exposure.deny("crow_search")
    exposure.expose("crow_store_memory", "grackle", writes=True)
    said = {each.tool: each for each in exposure.said("grackle")}
    assert set(said) == {*EXPOSED, "crow_store_memory"}
    assert said["crow_search"] == OpenTool("crow_search", False, False, "every instance")
    assert said["crow_store_memory"] == OpenTool("crow_store_memory", True, True, "this instance")
    assert said["crow_get_memory"] == OpenTool("crow_get_memory", True, False, "setting")
    assert "crow_store_memory" not in {each.tool for each in exposure.said("heron")}


def test_a_word_can_be_taken_back(exposure: Exposure) -> None:
    exposure.expose("crow_store_memory", "grackle", writes=True)
    assert exposure.of("grackle").allows_writing("crow_store_memory")
    exposure.expose("crow_store_memory", "grackle")
    assert not exposure.of("grackle").allows_writing("crow_store_memory")
    exposure.deny("crow_store_memory", "grackle")
    assert not exposure.of("grackle").allows("crow_store_memory")


@pytest.mark.parametrize("tool", [*sorted(NEVER), "*", "", "a b", "x" * 129, "tool\n"])
def test_what_cannot_be_exposed_is_refused(exposure: Exposure, tool: str) -> None:
    with pytest.raises(Invalid):
        exposure.expose(tool)
    assert exposure.words() == []


# ---- the commands -------------------------------------------------------------------------------


def command(house: House, name: str) -> Callable[..., Answer]:
    found = {each.name: each for _, each in house.host.contributions("register_commands", Command)}
    return found[name].run  # type: ignore[return-value]  # each answers with an Answer


def test_expose_and_deny_say_what_is_open_now(swan: House) -> None:
    command(swan, "expose")("crow_store_memory", peer="grackle", writes=True)
    answer = command(swan, "deny")("crow_search")
    assert "grackle: crow_store_memory allowed, writing too" in answer.text
    assert "every instance: crow_search denied" in answer.text
    assert command(swan, "expose")() == answer  # nothing had to be pointed out
    assert json.dumps(answer.value)


@pytest.mark.parametrize(
    ("name", "tool", "said"),
    [
        ("deny", "crow_serch", "is called crow_serch; did you mean crow_search?"),
        ("deny", "my_own_tool", "for one of a server of yours"),
        ("expose", "my_own_tool", "of a server of yours that says readOnlyHint; another one needs --writes"),
        ("expose", "crow_store_memory", "crow federation expose crow_store_memory --writes"),
    ],
)
def test_a_word_that_does_not_do_what_it_seems_to_is_pointed_out(swan: House, name: str, tool: str, said: str) -> None:
    assert command(swan, name)(tool).text.splitlines()[-1].endswith(said)
    assert said not in command(swan, "expose")().text


def test_a_peer_that_is_not_known_is_named(swan: House) -> None:
    for name in ("expose", "deny"):
        with pytest.raises(NotFound):
            command(swan, name)("crow_search", peer="nobody")


def test_audit_shows_the_calls_and_checks_them(swan: House) -> None:
    peer = next(iter(swan.registry.known))
    assert command(swan, "audit")().text == "no calls yet"
    swan.audit.record(**{**CALL, "peer": peer})
    swan.audit.record(**{**CALL, "peer": "", "decision": "denied", "status": "invalid_token", "tool": ""})
    swan.audit.flush()
    lines = command(swan, "audit")().text.splitlines()
    assert "inbound nobody known - denied invalid_token" in lines[0]
    assert "inbound grackle crow_search allowed ok 3 ms" in lines[1]
    assert len(command(swan, "audit")(peer="grackle").text.splitlines()) == 1
    assert command(swan, "audit")(verify=True).value["rows"] == 2  # type: ignore[index]
    with pytest.raises(Invalid, match="1 or more"):
        command(swan, "audit")(limit=0)
    tampered(swan.audit, "UPDATE calls SET peer = 'b' WHERE seq = 1")
    with pytest.raises(AuditBroken, match="row 1"):
        command(swan, "audit")(verify=True)
    swan.audit.close()


def test_doctor_looks_at_the_record(swan: House, tmp_path: Path) -> None:
    from crow_plugins.federation.checks import checks

    record = Audit(tmp_path / "audit.db")
    record.record(**CALL)
    record.flush()
    (check,) = checks(record)
    assert check.run().ok
    tampered(record, "UPDATE calls SET peer = 'b'")
    assert not check.run().ok
    record.close()


# ---- on somebody's own server -------------------------------------------------------------------


def theirs() -> FastMCP:
    server = FastMCP("theirs")
    server.tool(lambda: "their secret", name="secret", annotations=ToolAnnotations(read_only_hint=True))
    server.resource("their://secret")(lambda: "their secret")
    server.prompt(lambda: "their secret", name="prompt")
    return server


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_rest_of_somebodys_own_server_is_closed_too(tmp_path: Path, mode: Any) -> None:
    server = theirs()
    build(tmp_path / "swan", "swan").host.close()
    with build(tmp_path / "grackle", "grackle").host as caller, mount(server, tmp_path / "swan") as host:
        grackle, swan = House(caller), House(host)
        swan.meet(grackle)
        async with served(server.http_app()) as swan.url:
            transport = StreamableHttpTransport(swan.url + "/mcp", auth=PeerAuth(grackle, swan))
            async with Client(transport, mode=mode) as client:
                names = {tool.name for tool in await client.list_tools()}
                assert "crow_search" in names
                assert "secret" not in names
                await client.call_tool("crow_search_memories", {"query": "x"})
            for body in (
                body_of("tools/call", name="secret", arguments={}),
                body_of("resources/read", uri="their://secret"),
                body_of("prompts/get", name="prompt"),
            ):
                answer = await post(swan, grackle.mint(swan, body), body)
                assert answer.status_code == 403
                assert "their secret" not in answer.text
            async with Client(StreamableHttpTransport(swan.url + "/mcp", auth=await swan.assistant_token())) as client:
                assert "their secret" in str((await client.call_tool("secret", {})).content)


@pytest.mark.anyio
async def test_a_word_counts_from_the_next_call_on(tmp_path: Path) -> None:
    async with two_houses(tmp_path) as (grackle, swan):
        assert (await post(swan, grackle.mint(swan, SEARCH), SEARCH)).status_code == 200
        await asyncio.to_thread(swan.inbound.exposure.deny, "*", grackle.id)
        assert (await post(swan, grackle.mint(swan, SEARCH), SEARCH)).json()["code"] == "not_exposed"
        body = body_of("tools/list")
        answer = await post(swan, grackle.mint(swan, body), body)
        assert answer.json()["result"]["tools"] == []
