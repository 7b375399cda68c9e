"""The gateway as other processes meet it: addresses, tokens, guard, limits, one a home, a clean stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from crow_plugins import bearer
from crow_plugins.assistants import AssistantTokens
from crow_plugins.host import Host
from tests.gateway_process import Gateway, crow, running_gateway
from tests.replicator.full_disk import small_disk

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    home = tmp_path_factory.mktemp("gateway") / "home"
    assert crow(home, "init", "--name", "grackle").returncode == 0
    with running_gateway(home) as gateway:
        yield gateway


@pytest.fixture
def web(gateway: Gateway) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=gateway.base_url, timeout=20) as client:
        yield client


def test_an_answer_says_when_it_was_asked_for(web: httpx2.Client) -> None:
    before = int(time.time())
    said = parsedate_to_datetime(web.get("/health").headers["date"]).timestamp()
    assert before <= said <= time.time()


def post(web: httpx2.Client, body: object, **headers: str) -> httpx2.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return web.post("/mcp", content=content, headers={**HEADERS, **headers})


def test_health_needs_no_token_and_says_whose_gateway_it_is(web: httpx2.Client) -> None:
    answer = web.get("/health").json()
    assert set(answer) == {"status", "instance_id", "name", "version"}
    assert (answer["status"], answer["name"]) == ("ok", "grackle")


def test_an_answer_comes_in_one_packet(gateway: Gateway) -> None:
    """The head by itself would wake whoever waits once more."""
    address = httpx2.URL(gateway.base_url)
    with socket.create_connection((address.host, address.port), timeout=20) as connection:
        for _ in range(3):
            connection.sendall(f"GET /health HTTP/1.1\r\nhost: {address.host}\r\n\r\n".encode())
            head, _, body = connection.recv(1 << 16).partition(b"\r\n\r\n")
            assert f"content-length: {len(body)}".encode() in head
            assert json.loads(body)["status"] == "ok"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/mcp", "/router/mcp"])
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_an_assistant_stores_finds_changes_deletes_and_restores(gateway: Gateway, path: str, mode: Any) -> None:
    transport = StreamableHttpTransport(gateway.base_url + path, auth=gateway.token)
    async with Client(transport, mode=mode) as client:
        stored = await client.call_tool("crow_store_memory", {"content": f"over {path} in {mode}"})
        assert stored.structured_content is not None
        chosen = {"id": stored.structured_content["id"]}
        await client.call_tool("crow_update_memory", {**chosen, "content": f"changed over {path} in {mode}"})
        await client.call_tool("crow_delete_memory", chosen)
        await client.call_tool("crow_restore_memory", chosen)
        found = await client.call_tool("crow_search_memories", {"query": f"changed {path} {mode}"})
        assert found.structured_content is not None
        assert found.structured_content["items"][0]["id"] == chosen["id"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic YTpi"}])
@pytest.mark.parametrize("path", ["/mcp", "/router/mcp"])
def test_without_a_good_token_nothing_is_answered(web: httpx2.Client, path: str, headers: dict[str, str]) -> None:
    answer = web.post(path, json=CALL, headers={**HEADERS, **headers})
    assert answer.status_code == 401
    assert "crow_store_memory" not in answer.text


def test_a_revoked_token_is_refused_from_then_on(gateway: Gateway, web: httpx2.Client, home_of: Path) -> None:
    token = json.loads(crow(home_of, "token", "create", "short-lived", "--json").stdout)["token"]
    bearer = {"Authorization": f"Bearer {token}"}
    assert post(web, CALL, **bearer).status_code != 401
    assert crow(home_of, "token", "revoke", "short-lived").returncode == 0
    assert post(web, CALL, **bearer).status_code == 401


@pytest.fixture
def home_of(gateway: Gateway) -> Path:
    arguments = list(map(str, gateway.process.args))  # type: ignore[arg-type]  # a list, as it was started
    return Path(arguments[arguments.index("--home") + 1])


@pytest.mark.anyio
async def test_a_read_only_token_neither_sees_nor_calls_what_writes(gateway: Gateway, home_of: Path) -> None:
    made = crow(home_of, "token", "create", "reader", "--read-only", "--json")
    token = json.loads(made.stdout)["token"]
    async with Client(StreamableHttpTransport(gateway.mcp, auth=token)) as client:
        names = {tool.name for tool in await client.list_tools()}
        assert "crow_search_memories" in names
        assert "crow_store_memory" not in names
        with pytest.raises(Exception, match="Unknown tool"):
            await client.call_tool("crow_store_memory", {"content": "x"})


def test_a_disk_without_room_keeps_no_assistant_from_reading(make_home: Callable[[str], Path]) -> None:
    home = make_home("grackle")
    with small_disk("full-tokens") as disk, Host(home) as host:
        with host.store.transaction() as transaction:
            token, grant = bearer.create(transaction.db, "desk", now=host.now())
        disk.full = home
        access = asyncio.run(AssistantTokens(host).verify_token(token))
        disk.full = None
    assert access is not None
    assert access.client_id == grant.id
    assert disk.refused > 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "user@127.0.0.1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost.evil.example"}, 403),
    ],
)
@pytest.mark.parametrize("path", ["/health", "/mcp", "/nothing"])
def test_foreign_hosts_and_pages_are_turned_away(
    web: httpx2.Client, path: str, headers: dict[str, str], status: int
) -> None:
    assert web.get(path, headers=headers).status_code == status


def test_a_page_of_the_gateway_itself_may_call(web: httpx2.Client, gateway: Gateway) -> None:
    assert web.get("/health", headers={"Origin": gateway.base_url}).status_code == 200
    assert web.get("/health", headers={"Host": "localhost:9"}).status_code == 200


def test_a_batch_is_refused(web: httpx2.Client, gateway: Gateway) -> None:
    answer = post(web, [CALL, CALL], Authorization=f"Bearer {gateway.token}")
    assert answer.status_code == 400
    assert "crow_store_memory" not in answer.text


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b'{"jsonrpc": "1.0"}', b"null", b"[" * 10_000])
def test_garbage_is_refused_without_an_error_of_ours(web: httpx2.Client, gateway: Gateway, body: bytes) -> None:
    assert 400 <= post(web, body, Authorization=f"Bearer {gateway.token}").status_code < 500


def test_a_body_past_the_limit_is_refused(web: httpx2.Client, gateway: Gateway) -> None:
    body = json.dumps({**CALL, "params": {"x": "y" * 5_000_000}}).encode()
    assert post(web, body, Authorization=f"Bearer {gateway.token}").status_code == 413


def test_beyond_loopback_it_says_what_that_means_and_answers_to_addresses_and_names_it_was_told(
    make_home: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    with running_gateway(make_home("open"), "--host", "0.0.0.0", "--allow-host", "crow.example") as gateway:
        with httpx2.Client(base_url=gateway.base_url) as web:
            hosts = {"192.168.7.7:3001": 200, "[fd00::7]": 200, "crow.example": 200, "evil.example": 421}
            assert {host: web.get("/health", headers={"Host": host}).status_code for host in hosts} == hosts
            assert web.post("/mcp", json=CALL, headers=HEADERS).status_code == 401
        assert "is not encrypted" in capfd.readouterr().err


def test_a_second_gateway_in_a_home_is_refused_with_the_pid_of_the_first(gateway: Gateway, home_of: Path) -> None:
    second = crow(home_of, "serve", "--port", "0")
    assert second.returncode == 1
    assert f"process {gateway.process.pid} runs the gateway" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_port_in_use_is_one_sentence(make_home: Callable[[str], Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = crow(make_home("late"), "serve", "--port", port)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in refused.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "http"])
def test_a_port_that_is_none_is_one_sentence(make_home: Callable[[str], Path], port: str) -> None:
    refused = crow(make_home("odd"), "serve", "--port", port)
    assert refused.returncode in (1, 2)
    assert refused.stderr.count("\n") == 1


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        os.sched_yield()


@contextmanager
def stream_open(gateway: Gateway) -> Iterator[None]:
    headers = {**HEADERS, "Authorization": f"Bearer {gateway.token}"}
    start = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    with httpx2.Client(base_url=gateway.base_url, headers=headers) as web:
        begun = web.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": start})
        session = {"Mcp-Session-Id": begun.headers["mcp-session-id"]}
        with web.stream("GET", "/mcp", headers=session) as stream:
            assert stream.status_code == 200
            yield


def test_sigterm_stops_it_cleanly_even_with_a_stream_open(make_home: Callable[[str], Path]) -> None:
    home = make_home("stopping")
    with running_gateway(home) as gateway:
        assert json.loads((home / "gateway.json").read_text())["pid"] == gateway.process.pid
        with stream_open(gateway):
            assert gateway.stop() == 0
    assert not (home / "gateway.json").exists()


def test_told_twice_to_stop_it_cuts_a_stream_and_waits_for_the_plugins(
    make_home: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    home = make_home("hurried")

    def own_url() -> str | None:
        listed = json.loads((home / "instances.json").read_text())
        url: str | None = next(each["gateway_url"] for each in listed if "self" in each)
        return url

    with running_gateway(home) as gateway:
        until(lambda: own_url() == gateway.base_url)
        with stream_open(gateway):
            gateway.process.send_signal(signal.SIGTERM)
            until(lambda: not (home / "gateway.json").exists())  # it has begun to stop
            assert gateway.stop() == 0
    said = capfd.readouterr().err + (home / "logs" / "gateway.log").read_text()
    assert "Traceback" not in said
    assert "ERROR" not in said
    assert (home / "logs" / "gateway.log").read_text().count("told again to stop") == 1
    assert own_url() is None  # the registry noted that there is no gateway any more


def test_a_gateway_that_was_killed_does_not_keep_the_next_one_out(make_home: Callable[[str], Path]) -> None:
    home = make_home("killed")
    with running_gateway(home) as gateway:
        gateway.process.kill()
        gateway.process.wait()
    assert (home / "gateway.json").exists()
    assert "not running" in crow(home, "status").stdout
    with httpx2.Client() as web, running_gateway(home) as again:
        assert web.get(f"{again.base_url}/health").status_code == 200
