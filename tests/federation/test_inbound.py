"""Calls of other instances through a real gateway: what passes, and everything that must not."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from crow_plugins import token
from crow_plugins.federation.inbound import REFUSALS_PER_MINUTE, STRANGERS_PER_MINUTE
from crow_plugins.federation.settings import EXPOSED
from tests.federation.world import (
    House,
    PeerAuth,
    body_of,
    build,
    certified,
    headers_of,
    post,
    two_houses,
    web,
)
from tests.plugins.watchman import CALLS

pytestmark = pytest.mark.anyio
SEARCH = body_of("tools/call", name="crow_search_memories", arguments={"query": "kettle"})
STORE = body_of("tools/call", name="crow_store_memory", arguments={"content": "from outside"})
WATCHMAN = """
[[plugin]]
name = "watchman"
module = "tests.plugins.watchman"
"""


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[tuple[House, House]]:
    async with two_houses(tmp_path, settings=WATCHMAN) as both:
        yield both


def is_proved(answer: Any, swan: House, jti: bytes) -> None:
    """Raises where the answer is not signed by swan."""
    told = answer.headers.get("crow-time")
    token.check_proof(
        answer.headers.get("crow-proof"),
        instance_key=swan.known().instance_key,
        instance_id=swan.id,
        jti=jti,
        status=answer.status_code,
        time=None if told is None else int(told),
    )


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_peer_lists_and_calls_what_is_exposed(houses: tuple[House, House], mode: Any) -> None:
    grackle, swan = houses
    transport = StreamableHttpTransport(swan.url + "/mcp", auth=PeerAuth(grackle, swan))
    async with Client(transport, mode=mode) as client:
        here = {tool.name for tool in await swan.host.server.list_tools()}
        assert {tool.name for tool in await client.list_tools()} == here.intersection(EXPOSED)
        found = await client.call_tool("crow_search_memories", {"query": "kettle"})
        assert found.structured_content is not None
        assert found.structured_content["items"] == []
    assert await swan.rows() == [("inbound", "crow_search_memories", "allowed", "ok")]
    assert swan.audit.verify().whole


async def test_the_answer_is_signed_by_the_callee(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    jti = secrets.token_bytes(16)
    answer = await post(swan, grackle.mint(swan, SEARCH, jti=jti), SEARCH)
    assert answer.status_code == 200
    is_proved(answer, swan, jti)
    with pytest.raises(token.BadProof):
        is_proved(answer, swan, secrets.token_bytes(16))


async def test_a_token_works_once(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    made = grackle.mint(swan, SEARCH)
    assert (await post(swan, made, SEARCH)).status_code == 200
    again = await post(swan, made, SEARCH)
    assert (again.status_code, again.json()["code"]) == (401, "token_replayed")
    assert [row[3] for row in await swan.rows(2)] == ["ok", "token_replayed"]


async def test_of_64_parallel_uses_one_passes(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    headers = {**headers_of(SEARCH), "Authorization": f"Bearer {grackle.mint(swan, SEARCH)}"}
    async with web(swan) as client:
        answers = await asyncio.gather(*(client.post("/mcp", content=SEARCH, headers=headers) for _ in range(64)))
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 63
    rows = await swan.rows(64)
    assert sorted(row[3] for row in rows) == ["ok"] + ["token_replayed"] * 63
    assert swan.audit.verify().rows == 64


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"body": STORE}, "wrong_body"),
        ({"method": "GET"}, "wrong_method"),
        ({}, "wrong_audience"),
        ({"seconds_off": -600}, "token_expired"),
        ({"seconds_off": 600}, "token_not_yet_valid"),
        ({"seconds_off": -250, "lifetime": 300}, "token_of_earlier_run"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_token_for_something_else_is_told_why(
    houses: tuple[House, House], changed: dict[str, Any], code: str
) -> None:
    grackle, swan = houses
    jti = secrets.token_bytes(16)
    audience = grackle if code == "wrong_audience" else swan
    claims = {"jti": jti, "body": SEARCH, **changed}
    now = int(time.time()) + claims.pop("seconds_off", 0)
    answer = await post(swan, grackle.mint(audience, **claims, now=now), SEARCH)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert "crow_search_memories" not in answer.text
    assert ("crow-time" in answer.headers) == code.startswith("token_")
    is_proved(answer, swan, jti)
    assert await swan.rows() == [("inbound", "", "denied", code)]


async def test_a_clock_that_is_ten_minutes_off_is_told_the_hour_and_then_right(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    wrong = int(time.time()) + 600
    refused = await post(swan, grackle.mint(swan, SEARCH, now=wrong), SEARCH)
    offset = int(refused.headers["crow-time"]) - wrong
    assert (await post(swan, grackle.mint(swan, SEARCH, now=wrong + offset), SEARCH)).status_code == 200


@pytest.mark.parametrize("trouble", ["unknown", "revoked", "expired", "foreign", "another key", "itself"])
async def test_who_is_not_trusted_learns_nothing(houses: tuple[House, House], tmp_path: Path, trouble: str) -> None:
    grackle, swan = houses
    issuer = grackle
    if trouble == "unknown":
        swan.registry.known.clear()
    elif trouble == "revoked":
        swan.meet(grackle, revoked=True)
    elif trouble == "expired":
        swan.meet(grackle, certificate=certified(grackle, not_before=1, expires=2))
    elif trouble == "foreign":
        with build(tmp_path / "magpie", "magpie", seed=b"\1" * 32).host as stranger:
            swan.meet(grackle, certificate=stranger.keyring.identity.certificate.encode())
    elif trouble == "another key":
        swan.meet(grackle, certificate=certified(grackle, instance_key=swan.known().instance_key))
    else:
        issuer = swan
        swan.meet(swan)
    answer = await post(swan, issuer.mint(swan, SEARCH), SEARCH)
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")
    assert "crow-proof" not in answer.headers
    assert await swan.rows() == [("inbound", "", "denied", "invalid_token")]


async def test_a_token_of_ours_for_another_does_not_work_here_when_it_comes_back(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    made = swan.mint(grackle, SEARCH)
    assert (await post(swan, made, SEARCH)).json()["code"] == "invalid_token"


async def test_a_changed_signature_or_header_is_refused(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    header, claims, signature = grackle.mint(swan, SEARCH).split(".")
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    loose = (
        base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "crow-fed+jwt", "kid": "x"}).encode())
        .decode()
        .rstrip("=")
    )
    for wrong in (f"{header}.{claims}.{flipped}", f"{loose}.{claims}.{signature}", f"{header}.{claims}."):
        answer = await post(swan, wrong, SEARCH)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_two_authorizations_are_refused_when_one_is_a_peers(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    for values in ([await swan.assistant_token(), grackle.mint(swan, SEARCH)], [grackle.mint(swan, SEARCH), "x"]):
        assert (await post(swan, values, SEARCH)).json()["code"] == "invalid_token"


async def test_a_restart_between_neither_forgets_uses_nor_takes_older_tokens(tmp_path: Path) -> None:
    swan_folder = tmp_path / "swan"
    with build(tmp_path / "grackle", "grackle").host as host:
        grackle, statuses = House(host), []
        used, unused, ahead = None, None, int(time.time()) + 25
        for _ in range(2):
            with build(swan_folder, "swan").host as swan_host:
                swan = House(swan_host)
                swan.meet(grackle)
                async with swan.serving():
                    used = used or grackle.mint(swan, SEARCH, now=ahead)
                    unused = unused or grackle.mint(swan, SEARCH, now=ahead - 50, lifetime=300)
                    statuses.append((await post(swan, used, SEARCH)).json().get("code"))
        assert statuses == [None, "token_replayed"]
        with build(swan_folder, "swan").host as swan_host:
            swan = House(swan_host)
            swan.meet(grackle)
            async with swan.serving():
                assert (await post(swan, unused, SEARCH)).json()["code"] == "token_of_earlier_run"


@pytest.mark.parametrize("tool", ["crow_store_memory", "crow_delete_memory", "crow_list_plugins", "no_such_tool"])
async def test_what_is_not_exposed_is_refused_whether_it_exists_or_not(houses: tuple[House, House], tool: str) -> None:
    grackle, swan = houses
    body = body_of("tools/call", name=tool, arguments={})
    answer = await post(swan, grackle.mint(swan, body), body)
    assert (answer.status_code, answer.json()["code"]) == (403, "not_exposed")
    assert await swan.rows() == [("inbound", tool, "denied", "not_exposed")]


@pytest.mark.parametrize(
    "method",
    [
        *("resources/list", "resources/read", "resources/templates/list", "prompts/list", "prompts/get"),
        *("completion/complete", "logging/setLevel", "subscriptions/listen", "tasks/list", "nothing/known", ""),
    ],
)
async def test_every_other_method_is_closed(houses: tuple[House, House], method: str) -> None:
    grackle, swan = houses
    body = body_of(method, uri="crow://memories/x", name="catch_up")
    answer = await post(swan, grackle.mint(swan, body), body)
    assert (answer.status_code, answer.json()["code"]) == (403, "closed")


@pytest.mark.parametrize(
    "body",
    [
        b"[" + SEARCH + b"," + SEARCH + b"]",
        SEARCH.replace(b'"method":', b'"method": "ping", "method":'),
        SEARCH.replace(b'"name": "crow_search', b'"name": "crow_store_memory", "name": "crow_search'),
        b"",
        b"\xff",
        b"null",
        b"[" * 100_000,
        b'{"jsonrpc": "2.0", "id": 1, "result": {}}',
        SEARCH.replace(b'"kettle"', b"NaN"),
    ],
)
async def test_a_body_that_two_readers_could_read_in_two_ways_is_refused(
    houses: tuple[House, House], body: bytes
) -> None:
    grackle, swan = houses
    headers = {**headers_of(SEARCH), "Authorization": f"Bearer {grackle.mint(swan, body)}"}
    async with web(swan) as client:
        answer = await client.post("/mcp", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_message")


async def test_a_body_past_the_limit_is_refused(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    body = body_of("ping", pad="x" * (1 << 20))
    assert (await post(swan, grackle.mint(swan, body), body)).status_code == 413


@pytest.mark.parametrize("path", ["/health", "/nest", "/sync", "/"])
async def test_a_peers_token_opens_the_mcp_endpoint_alone(houses: tuple[House, House], path: str) -> None:
    grackle, swan = houses
    async with web(swan) as client:
        made = grackle.mint(swan, method="GET")
        answer = await client.get(path, headers={"Authorization": f"Bearer {made}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "closed")


async def test_a_peer_gets_no_stream(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    async with web(swan) as client:
        made = grackle.mint(swan, method="GET")
        answer = await client.get("/mcp", headers={"Authorization": f"Bearer {made}"})
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, DELETE")


async def test_assistants_call_beside_peers_as_ever(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    async with Client(StreamableHttpTransport(swan.url + "/mcp", auth=await swan.assistant_token())) as client:
        await client.call_tool("crow_store_memory", {"content": "the kettle is new"})
        assert "crow_store_memory" in {tool.name for tool in await client.list_tools()}
        assert await client.list_resource_templates()
    answer = await post(swan, grackle.mint(swan, SEARCH), SEARCH)
    assert "the kettle is new" in answer.text
    assert (await post(swan, "crow_wrong", SEARCH)).status_code == 401
    assert (await post(swan, None, SEARCH)).status_code == 401
    assert len(await swan.rows()) == 1


async def test_a_tool_that_writes_needs_a_word_that_says_so_and_a_token_that_may(
    houses: tuple[House, House],
) -> None:
    grackle, swan = houses
    await asyncio.to_thread(swan.inbound.exposure.expose, "crow_store_memory", grackle.id)
    assert (await post(swan, grackle.mint(swan, STORE), STORE)).json()["code"] == "not_exposed"
    await asyncio.to_thread(lambda: swan.inbound.exposure.expose("crow_store_memory", grackle.id, writes=True))
    reading = await post(swan, grackle.mint(swan, STORE, scopes=["read"]), STORE)
    assert (reading.status_code, reading.json()["code"]) == (403, "insufficient_scope")
    assert (await post(swan, grackle.mint(swan, STORE), STORE)).status_code == 200
    found = body_of("tools/call", name="crow_search_memories", arguments={"query": "outside"})
    assert "from outside" in (await post(swan, grackle.mint(swan, found), found)).text


async def test_a_tool_that_says_it_reads_and_writes_is_stopped_at_the_write_door(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    await asyncio.to_thread(swan.inbound.exposure.expose, "watchman_sly", grackle.id)
    body = body_of("tools/call", name="watchman_sly", arguments={})
    answer = await post(swan, grackle.mint(swan, body), body)
    assert answer.json()["result"]["isError"]
    assert "write_refused" in answer.text
    assert await swan.rows() == [("inbound", "watchman_sly", "allowed", "tool_error")]
    async with Client(StreamableHttpTransport(swan.url + "/mcp", auth=await swan.assistant_token())) as client:
        assert (await client.call_tool("watchman_sly", {})).data == "written"


async def test_plugins_are_asked_and_their_denial_counts(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    calls = swan.host.services.find("test", CALLS)
    for query, expected in (("kettle", 200), ("deny", 403), ("raise", 403)):
        body = body_of("tools/call", name="crow_search_memories", arguments={"query": query})
        answer = await post(swan, grackle.mint(swan, body), body)
        assert answer.status_code == expected
        if expected == 403:
            assert answer.json()["code"] == "call_denied"
            assert ("the watchman says no" in answer.text) == (query == "deny")
            assert "fell asleep" not in answer.text
    assert [(call.direction, call.peer.name, call.tool) for call in calls] == [
        ("inbound", "grackle", "crow_search_memories")
    ] * 3
    assert [row[3] for row in await swan.rows(3)] == ["ok", "call_denied", "call_denied"]


async def test_calls_that_would_call_on_are_refused_whatever_is_exposed(tmp_path: Path) -> None:
    settings = '[plugin.settings]\nexpose = ["crow_federated_search"]\n'
    async with two_houses(tmp_path, settings=settings) as (grackle, swan):
        swan.host.server.tool(lambda: "called on", name="crow_federated_search", annotations={"readOnlyHint": True})
        body = body_of("tools/call", name="crow_federated_search", arguments={})
        assert (await post(swan, grackle.mint(swan, body), body)).json()["code"] == "not_exposed"


async def test_too_many_calls_are_told_to_wait(tmp_path: Path) -> None:
    settings = "[plugin.settings]\ncalls_per_minute = 2\n"
    async with two_houses(tmp_path, settings=settings) as (grackle, swan):
        answers = [await post(swan, grackle.mint(swan, SEARCH), SEARCH) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert 1 <= int(answers[2].headers["retry-after"]) <= 30
        assert [row[3] for row in await swan.rows(2)] == ["ok", "ok"]


async def test_a_flood_of_refusals_is_neither_recorded_nor_in_the_way_of_calls(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    used, refused = grackle.mint(swan, SEARCH), 0
    await post(swan, used, SEARCH)
    for token_, many in ((used[:-4] + "AAAA", STRANGERS_PER_MINUTE), (used, REFUSALS_PER_MINUTE)):
        headers = {**headers_of(SEARCH), "Authorization": f"Bearer {token_}"}
        async with web(swan) as client:
            flood = (client.post("/mcp", content=SEARCH, headers=headers) for _ in range(2 * many))
            statuses = [answer.status_code for answer in await asyncio.gather(*flood)]
        assert set(statuses) == {401, 429}
        assert statuses.count(401) >= many
        refused += statuses.count(401)
    assert (await post(swan, grackle.mint(swan, SEARCH), SEARCH)).status_code == 200
    await swan.rows()
    assert len(await asyncio.to_thread(lambda: swan.audit.rows(limit=1000))) == refused + 2


async def test_a_call_is_contact(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    for _ in range(3):
        await post(swan, grackle.mint(swan, SEARCH), SEARCH)
    assert swan.registry.contacts == [(grackle.id, "online")]


async def test_without_the_file_of_uses_nobody_gets_in(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    (swan.host.home.folder / "replay.db").mkdir()
    answer = await post(swan, grackle.mint(swan, SEARCH), SEARCH)
    assert (answer.status_code, answer.json()["code"]) == (503, "uses_unavailable")


async def test_without_the_plugin_its_tokens_are_nobodys(houses: tuple[House, House]) -> None:
    grackle, swan = houses
    assert (await post(swan, grackle.mint(swan, SEARCH), SEARCH)).status_code == 200
    swan.host._enabled -= {"federation"}
    assert (await post(swan, grackle.mint(swan, SEARCH), SEARCH)).status_code == 401
