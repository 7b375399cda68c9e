"""A call reaches the address that was checked and no other, and costs no more than its bounds say."""

from __future__ import annotations

import asyncio
import datetime
import gzip
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TypedDict

import httpcore2
import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from crow_plugins.outbound.calling import (
    Answer,
    AnswerBroken,
    BadStatus,
    Bounds,
    CallError,
    CheckedTransport,
    Compressed,
    NameUnknown,
    NotJson,
    OtherOrigin,
    Redirected,
    RemoteGateway,
    Resolve,
    TimedOut,
    TlsRefused,
    TooLarge,
    Unreachable,
    resolved,
)
from crow_plugins.outbound.urls import (
    DEFAULT_ZONES,
    Address,
    HttpsNeeded,
    NeverCalled,
    NoAddress,
    Zone,
    ZoneOff,
    parse,
)

pytestmark = pytest.mark.anyio

GENEROUS = Bounds(connect_seconds=20, total_seconds=20)  # never reached: what fails, fails for its own reason
SMALL = Bounds(connect_seconds=20, total_seconds=20, answer_bytes=1000)
SHORT = Bounds(connect_seconds=20, total_seconds=0.05, answer_bytes=1 << 40)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
MARK = b"words-of-the-other-machine"

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Answering = bytes | Handler


@dataclass
class Server:
    """A server on loopback: what it was asked, over how many connections, and whether one of them ended."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def serving(answer: Answering, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    """Answer each request with these bytes, or as a function does."""
    server, tasks = Server(), set[asyncio.Task[None]]()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
                while True:
                    server.requests.append(await read_request(reader))
                    await respond(answer, reader, writer)
        finally:
            writer.close()
            server.gone.set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.ensure_future(handle(reader, writer)))

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    return head + await reader.readexactly(int(lines.get(b"content-length", b"0")))


async def respond(answer: Answering, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    if callable(answer):
        await answer(reader, writer)
        return
    writer.write(answer)
    await writer.drain()


def whole(content: bytes, head: bytes = HEAD) -> bytes:
    return head + b"content-length: %d\r\n\r\n" % len(content) + content


def endless(start: bytes, part: bytes) -> Handler:
    """An answer that goes on until the connection is gone."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)  # not to wait: the caller has its turn only when this gives it one
        raise ConnectionResetError

    return write


def hanging(start: bytes) -> Handler:
    """Says this much, and nothing more until the caller is gone."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await reader.readexactly(1)

    return write


def closing(start: bytes) -> Handler:
    """Says this much and hangs up."""

    async def write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        await writer.drain()
        raise ConnectionResetError

    return write


class Options(TypedDict, total=False):
    """How a gateway is called, where that matters."""

    resolve: Resolve
    dial: Dial
    serves: ssl.SSLContext
    trusts: ssl.SSLContext


class Dial(httpcore2.AnyIOBackend):
    """Opens connections and remembers to where; some addresses swallow every packet."""

    def __init__(self, silent: Collection[str] = ()) -> None:
        self.dialled: list[str] = []
        self.streams: list[httpcore2.AsyncNetworkStream] = []
        self._silent = silent

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # its caller's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        self.dialled.append(host)
        if host in self._silent:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await asyncio.Event().wait()
            raise httpcore2.ConnectTimeout
        stream = await super().connect_tcp(host, port, timeout, local_address, socket_options)
        self.streams.append(stream)
        return stream


class Names:
    """A resolver whose answers change from one question to the next; the last one stays."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append((host, port))
        answers = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [ip_address(answer) for answer in answers]


@asynccontextmanager
async def remote(
    answer: Answering,
    host: str = "http://127.0.0.1",
    *,
    bounds: Bounds = GENEROUS,
    resolve: Resolve | None = None,
    dial: Dial | None = None,
    serves: ssl.SSLContext | None = None,
    trusts: ssl.SSLContext | None = None,
) -> AsyncIterator[tuple[Server, RemoteGateway]]:
    """A server, and the gateway it is to those who call it."""
    async with serving(answer, serves) as server:
        url = parse(f"{host}:{server.port}")
        async with RemoteGateway(url, bounds=bounds, resolve=resolve, dial=dial, tls=trusts) as gateway:
            yield server, gateway


# What goes well.


async def test_an_answer_comes_back_whole_with_its_status() -> None:
    async with remote(whole(b'{"status": "ok"}')) as (_, gateway):
        answer = await gateway.call("/health")
    assert answer == Answer(200, b'{"status": "ok"}')
    assert answer.json() == {"status": "ok"}


async def test_a_body_is_posted_byte_for_byte_as_json() -> None:
    async with remote(whole(b"{}")) as (server, gateway):
        await gateway.call("/.well-known/crow", b'{"v":1}', headers={"authorization": "Bearer token"})
    (request,) = server.requests
    assert request.startswith(b"POST /.well-known/crow HTTP/1.1\r\n")
    assert request.endswith(b'\r\n\r\n{"v":1}')
    assert b"content-type: application/json\r\n" in request.lower()
    assert b"authorization: bearer token\r\n" in request.lower()


async def test_a_request_asks_for_plain_json_and_says_nothing_else() -> None:
    async with remote(whole(b"{}")) as (server, gateway):
        await gateway.call("/health")
    names = {line.split(b":")[0].lower() for line in server.requests[0].split(b"\r\n")[1:-2]}
    assert names == {b"host", b"accept", b"accept-encoding", b"user-agent"}
    assert b"accept-encoding: identity\r\n" in server.requests[0].lower()


async def test_a_connection_is_kept_between_calls() -> None:
    async with remote(whole(b"{}")) as (server, gateway):
        for _ in range(3):
            await gateway.call("/health")
    assert len(server.requests) == 3
    assert server.connections == 1


async def test_calls_at_once_do_not_wait_for_each_other() -> None:
    together = asyncio.Barrier(3)

    async def answer_together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(whole(b"{}"))

    async with remote(answer_together) as (_, gateway):
        answers = await asyncio.gather(*(gateway.call("/health") for _ in range(3)))
    assert [answer.status for answer in answers] == [200, 200, 200]


async def test_a_server_that_closed_a_kept_connection_is_called_over_a_new_one() -> None:
    async with remote(closing(whole(b"{}"))) as (server, gateway):
        await gateway.call("/health")
        await server.gone.wait()
        assert (await gateway.call("/health")).status == 200
    assert server.connections == 2


async def test_small_requests_are_not_held_back() -> None:
    dial = Dial()
    async with remote(whole(b"{}"), dial=dial) as (_, gateway):
        await gateway.call("/health")
        (stream,) = dial.streams
        assert stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_status_that_is_expected_is_an_answer() -> None:
    async with remote(whole(b"{}", HEAD.replace(b"200 OK", b"403 Forbidden"))) as (_, gateway):
        answer = await gateway.call("/join", b"{}", statuses={200, 403})
    assert answer.status == 403


@pytest.mark.parametrize(
    "kind", [b"application/json", b"application/json; charset=utf-8", b"Application/JSON;charset=UTF-8"]
)
async def test_json_may_say_that_it_is_utf8(kind: bytes) -> None:
    async with remote(whole(b"{}", b"HTTP/1.1 200 OK\r\ncontent-type: " + kind + b"\r\n")) as (_, gateway):
        assert (await gateway.call("/health")).content == b"{}"


async def test_another_type_is_taken_where_no_json_is_asked_for() -> None:
    async with remote(whole(b"hello", b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n")) as (_, gateway):
        assert (await gateway.call("/", as_json=False)).content == b"hello"


# What the other machine does wrong.

REFUSED_ANSWERS: dict[str, tuple[bytes, type[CallError]]] = {
    "moved": (b"HTTP/1.1 301 x\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n", Redirected),
    "found": (b"HTTP/1.1 302 x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n", Redirected),
    "kept method": (b"HTTP/1.1 307 x\r\nlocation: //grackle\r\ncontent-length: 0\r\n\r\n", Redirected),
    "permanent": (b"HTTP/1.1 308 x\r\nlocation: https://grackle\r\ncontent-length: 0\r\n\r\n", Redirected),
    "choices": (b"HTTP/1.1 300 x\r\ncontent-length: 0\r\n\r\n", Redirected),
    "not found": (whole(MARK, HEAD.replace(b"200 OK", b"404 " + MARK)), BadStatus),
    "failed": (whole(MARK, HEAD.replace(b"200 OK", b"500 x")), BadStatus),
    "created": (whole(b"{}", HEAD.replace(b"200 OK", b"201 x")), BadStatus),
    "no content": (b"HTTP/1.1 204 x\r\n\r\n", BadStatus),
    "switched": (b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n", AnswerBroken),
    "text": (whole(MARK, b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n"), NotJson),
    "no type": (whole(b"{}", b"HTTP/1.1 200 OK\r\n"), NotJson),
    "two types": (whole(b"{}", HEAD + b"content-type: text/html\r\n"), NotJson),
    "other charset": (whole(b"{}", b"HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-16\r\n"), NotJson),
    "like json": (whole(b"{}", b"HTTP/1.1 200 OK\r\ncontent-type: application/jsonp\r\n"), NotJson),
    "gzip": (whole(gzip.compress(bytes(1 << 24)), HEAD + b"content-encoding: gzip\r\n"), Compressed),
    "gzip twice": (whole(b"", HEAD + b"content-encoding: identity\r\ncontent-encoding: gzip\r\n"), Compressed),
    "brotli": (whole(b"", HEAD + b"content-encoding: br\r\n"), Compressed),
    "large": (whole(bytes((1 << 16) + 1)), TooLarge),
    "one chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n10001\r\n" + bytes(0x10001), TooLarge),
    "no http": (b"SSH-2.0-" + MARK + b"\r\n\r\n", AnswerBroken),
    "no status": (b"HTTP/1.1 " + MARK + b"\r\n\r\n", AnswerBroken),
    "bad header": (b"HTTP/1.1 200 OK\r\n" + MARK + b"\r\n\r\n", AnswerBroken),
    "bad length": (HEAD + b"content-length: -1\r\n\r\n", AnswerBroken),
    "two lengths": (HEAD + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}", AnswerBroken),
    "bad chunk": (HEAD + b"transfer-encoding: chunked\r\n\r\n" + MARK + b"\r\n", AnswerBroken),
    "short": (HEAD + b"content-length: 100\r\n\r\n{}", AnswerBroken),
    "unfinished chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", AnswerBroken),
    "nothing": (b"", AnswerBroken),
    "half a head": (HEAD, AnswerBroken),
    "endless header": (HEAD + b"x: " + bytes(b"x" * (1 << 18)) + b"\r\n\r\n", AnswerBroken),
}


@pytest.mark.parametrize("name", REFUSED_ANSWERS)
async def test_a_wrong_answer_has_an_error_of_its_own_that_repeats_nothing_of_it(name: str) -> None:
    answer, refusal = REFUSED_ANSWERS[name]
    async with remote(closing(answer)) as (server, gateway):
        with pytest.raises(refusal) as refused:
            await gateway.call("/health")
    assert type(refused.value) is refusal
    assert MARK.decode() not in str(refused.value)
    assert "; " in str(refused.value)
    assert len(server.requests) == 1


ENDLESS: dict[str, tuple[bytes, bytes]] = {
    "body": (HEAD + b"\r\n", bytes(4096)),
    "promised length": (HEAD + b"content-length: 999999999999\r\n\r\n", bytes(4096)),
    "chunks": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1000\r\n" + bytes(4096) + b"\r\n"),
    "chunks of a byte": (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_an_endless_answer_is_left_at_the_limit(name: str) -> None:
    async with remote(endless(*ENDLESS[name]), bounds=SMALL) as (server, gateway):
        with pytest.raises(TooLarge, match="more than 1000 bytes"):
            await gateway.call("/health")
        await server.gone.wait()


async def test_an_answer_may_be_as_long_as_the_limit() -> None:
    content = b'"' + b"x" * 998 + b'"'
    async with remote(whole(content), bounds=SMALL) as (_, gateway):
        assert (await gateway.call("/health")).content == content


DRIPPING: dict[str, Handler] = {
    "nothing": hanging(b""),
    "half a head": hanging(HEAD),
    "half a body": hanging(HEAD + b"content-length: 3\r\n\r\n{}"),
    "half a chunk": hanging(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n{}"),
    "a body to the end of the connection": hanging(HEAD + b"\r\n{}"),
    "a byte at a time": endless(HEAD + b"\r\n", b" "),
    "wait a little, for ever": endless(b"", b"HTTP/1.1 103 x\r\n\r\n"),
    "chunks with long notes": endless(
        HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1;" + b"x" * 60_000 + b"\r\n \r\n"
    ),
}


@pytest.mark.parametrize("name", DRIPPING)
async def test_an_answer_that_does_not_end_in_time_is_left(name: str) -> None:
    async with remote(DRIPPING[name], bounds=SHORT) as (server, gateway):
        with pytest.raises(TimedOut, match=r"within 0\.05 seconds"):
            await gateway.call("/health")
        await server.gone.wait()


async def test_a_body_that_nobody_reads_does_not_hold_the_caller() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = parse(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        async with RemoteGateway(url, bounds=SHORT) as gateway:
            with pytest.raises(TimedOut):
                await gateway.call("/crow", bytes(1 << 26))


async def test_a_gateway_answers_again_after_a_call_that_failed() -> None:
    answers = iter([whole(bytes(1 << 17)), b"HTTP/1.1 302 x\r\nlocation: /\r\n\r\n" + MARK, whole(b"{}")])

    async def next_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(next(answers))

    async with remote(next_one) as (server, gateway):
        with pytest.raises(TooLarge):
            await gateway.call("/health")
        with pytest.raises(Redirected):
            await gateway.call("/health")
        assert (await gateway.call("/health")).content == b"{}"
    assert server.connections == 3, "what was left half read is not used again"


NO_JSON = [b"", b"{", b"{}{}", b"\xff", b'{"a":1,"a":2}', b"NaN", b"1.5", b"[" * 60_000, b"9" * 60_000, b'"\\ud800"']


@pytest.mark.parametrize("content", NO_JSON, ids=range(len(NO_JSON)))
async def test_what_is_not_json_is_refused_when_it_is_read(content: bytes) -> None:
    async with remote(whole(content)) as (_, gateway):
        answer = await gateway.call("/health")
    with pytest.raises(NotJson):
        answer.json()


# Where nothing is.


async def test_a_port_where_nothing_listens_is_unreachable() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, so nobody else takes it, and not listening
        async with RemoteGateway(parse(f"http://127.0.0.1:{unused.getsockname()[1]}"), bounds=GENEROUS) as gateway:
            with pytest.raises(Unreachable):
                await gateway.call("/health")


@pytest.mark.parametrize("name", ["fe80::1%nowhere", "a" * 64])  # known to be none without asking the network
async def test_a_name_that_cannot_be_resolved_is_told_from_a_silent_host(name: str) -> None:
    with pytest.raises(NameUnknown):
        await resolved(name, 80)


async def test_the_systems_own_answer_for_this_machine_is_loopback() -> None:
    assert set(map(str, await resolved("localhost", 80))) <= {"127.0.0.1", "::1"}


async def test_a_name_that_is_looked_up_for_ever_is_given_up() -> None:
    async def never(host: str, port: int) -> list[Address]:
        await asyncio.Event().wait()
        return []

    url = parse("http://grackle:3001")
    async with RemoteGateway(url, bounds=Bounds(connect_seconds=0.02, total_seconds=20), resolve=never) as gateway:
        with pytest.raises(TimedOut, match=r"within 0\.02 seconds"):
            await gateway.call("/health")


async def test_an_address_that_swallows_packets_leaves_time_for_the_next() -> None:
    dial, names = Dial(silent={"127.0.0.2"}), Names(["127.0.0.2", "127.0.0.1"])
    async with remote(whole(b"{}"), "http://grackle", bounds=Bounds(1.0, 20), resolve=names, dial=dial) as (_, gateway):
        assert (await gateway.call("/health")).status == 200
    assert dial.dialled == ["127.0.0.2", "127.0.0.1"]


async def test_only_a_few_addresses_of_a_name_are_dialled_and_all_are_checked() -> None:
    many = [f"127.0.1.{number}" for number in range(1, 100)]
    dial = Dial(silent=many)
    url = parse("http://grackle")
    async with RemoteGateway(url, bounds=Bounds(0.04, 20), resolve=Names(many), dial=dial) as gateway:
        with pytest.raises(TimedOut):
            await gateway.call("/health")
    assert dial.dialled == many[:4]
    async with RemoteGateway(url, resolve=Names([*many, "169.254.169.254"]), dial=dial) as gateway:
        with pytest.raises(NeverCalled):
            await gateway.call("/health")
    assert dial.dialled == many[:4]


# Where nothing may be called.


@pytest.mark.parametrize(
    ("url", "answers", "refusal"),
    [
        ("http://grackle", ["169.254.169.254"], NeverCalled),
        ("https://grackle", ["8.8.8.8", "169.254.169.254"], NeverCalled),
        ("http://grackle", ["127.0.0.1", "::ffff:127.0.0.1"], NeverCalled),
        ("http://grackle", ["127.0.0.1", "10.0.0.1"], ZoneOff),
        ("http://grackle", ["127.0.0.1", "8.8.8.8"], HttpsNeeded),
        ("http://grackle", [], NoAddress),
        ("http://169.254.169.254", ["127.0.0.1"], NeverCalled),
        ("http://[::ffff:127.0.0.1]", ["127.0.0.1"], NeverCalled),
        ("http://10.0.0.1", ["127.0.0.1"], ZoneOff),
        ("http://8.8.8.8", ["127.0.0.1"], HttpsNeeded),
    ],
)
async def test_nothing_is_dialled_when_one_answer_may_not_be(
    url: str, answers: list[str], refusal: type[Exception]
) -> None:
    dial = Dial()
    async with RemoteGateway(
        parse(url), resolve=Names(answers), dial=dial, tls=ssl.create_default_context()
    ) as gateway:
        with pytest.raises(refusal):
            await gateway.call("/health")
    assert dial.dialled == []


async def test_a_zone_that_is_off_is_not_dialled() -> None:
    dial = Dial()
    async with RemoteGateway(parse("http://127.0.0.1"), DEFAULT_ZONES - {Zone.LOOPBACK}, dial=dial) as gateway:
        with pytest.raises(ZoneOff):
            await gateway.call("/health")
    assert dial.dialled == []


async def test_a_name_is_looked_up_once_for_each_connection_and_each_answer_is_checked() -> None:
    dial, names = Dial(), Names(["127.0.0.1"], ["169.254.169.254"])
    async with remote(closing(whole(b"{}")), "http://grackle", resolve=names, dial=dial) as (server, gateway):
        await gateway.call("/health")
        await server.gone.wait()
        with pytest.raises(NeverCalled):
            await gateway.call("/health")
    assert names.asked == [("grackle", server.port)] * 2
    assert dial.dialled == ["127.0.0.1"]
    assert b"host: grackle:%d\r\n" % server.port in server.requests[0].lower()


REBINDING = """
import asyncio, json, sys
from ipaddress import ip_address
from crow_hooks import CrowError
from crow_plugins.outbound.calling import RemoteGateway
from crow_plugins.outbound.urls import parse

seen = []

def watch(event, arguments):
    if event == "socket.connect":
        seen.append(arguments[1][0])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname") and not str(arguments[0])[0].isdigit():
        seen.append(str(arguments[0]))

sys.addaudithook(watch)
answers = [json.loads(answer) for answer in sys.argv[2:]]

async def rebinding(host, port):
    return [ip_address(answer) for answer in (answers.pop(0) if len(answers) > 1 else answers[0])]

async def main():
    outcomes = []
    for _ in range(3):
        async with RemoteGateway(parse(f"http://rebinding.example:{sys.argv[1]}"), resolve=rebinding) as gateway:
            try:
                outcomes.append((await gateway.call("/health")).status)
            except CrowError as error:
                outcomes.append(error.code)
    print(json.dumps([outcomes, seen]))

asyncio.run(main())
"""


async def test_the_sockets_of_a_process_see_checked_addresses_only_however_the_name_is_rebound() -> None:
    async with serving(whole(b"{}")) as server:
        process = await asyncio.create_subprocess_exec(
            *[sys.executable, "-W", "error", "-c", REBINDING, str(server.port)],
            *['["127.0.0.1"]', '["169.254.169.254"]', '["127.0.0.1", "10.0.0.1"]'],
            stdout=subprocess.PIPE,
        )
        printed, _ = await process.communicate()
    outcomes, seen = json.loads(printed)
    assert outcomes == [200, "never_called", "zone_off"]
    assert seen == ["127.0.0.1"], "one connection, to what was checked, and no look-up beside the one that was checked"


async def test_no_proxy_and_no_password_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login crow password secret\n")
    netrc.chmod(0o600)
    async with serving(whole(b"{}")) as proxy, remote(whole(b"{}")) as (server, gateway):
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
            monkeypatch.setenv(name.upper(), f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NETRC", str(netrc))
        monkeypatch.delenv("no_proxy", raising=False)
        await gateway.call("/health")
    assert proxy.connections == 0
    assert b"authorization" not in server.requests[0].lower()


async def test_a_cookie_is_not_sent_back() -> None:
    async with remote(whole(b"{}", HEAD + b"set-cookie: crow=1\r\n")) as (server, gateway):
        await gateway.call("/health")
        await gateway.call("/health")
    assert b"cookie" not in server.requests[1].lower()


# The way to a gateway, under other clients.


async def test_a_client_that_follows_redirects_is_not_led_to_another_origin() -> None:
    async with serving(whole(b"{}")) as other:
        elsewhere = b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:%d/\r\ncontent-length: 0\r\n\r\n" % other.port
        async with serving(elsewhere) as server:
            url = parse(f"http://127.0.0.1:{server.port}")
            async with httpx2.AsyncClient(transport=CheckedTransport(url), follow_redirects=True) as client:
                with pytest.raises(OtherOrigin):
                    await client.get(url.text)
    assert other.connections == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:2", "https://127.0.0.1:1", "http://127.0.0.2:1", "ftp://127.0.0.1:1"]
)
async def test_a_way_leads_to_one_origin(url: str) -> None:
    dial = Dial()
    async with httpx2.AsyncClient(transport=CheckedTransport(parse("http://127.0.0.1:1"), dial=dial)) as client:
        with pytest.raises((OtherOrigin, httpx2.UnsupportedProtocol)):
            await client.get(url)
    assert dial.dialled == []


@pytest.mark.parametrize(
    "url", ["http://[::1]", "http://localhost:80", "https://xn--a.example", "https://xn--nest.example:8443"]
)
async def test_a_way_leads_to_its_own_origin_however_the_host_is_written(url: str) -> None:
    dial = Dial(silent={"127.0.0.1", "::1"})
    way = CheckedTransport(parse(url), dial=dial, resolve=Names(["127.0.0.1"]), tls=ssl.create_default_context())
    request = httpx2.Request("GET", url, extensions={"timeout": {"connect": 0.01}})
    with pytest.raises(httpx2.ConnectTimeout):
        await way.handle_async_request(request)
    assert len(dial.dialled) == 1
    await way.aclose()


async def test_a_web_socket_goes_the_same_way() -> None:
    switched = b"HTTP/1.1 101 x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nhello"
    async with serving(hanging(switched)) as server:
        way = CheckedTransport(parse(f"http://127.0.0.1:{server.port}"))
        headers = {"connection": "upgrade", "upgrade": "websocket"}
        response = await way.handle_async_request(
            httpx2.Request("GET", f"ws://127.0.0.1:{server.port}/sync", headers=headers)
        )
        assert response.status_code == 101
        assert await response.extensions["network_stream"].read(5) == b"hello"
        await response.aclose()
        await way.aclose()


# TLS.


@dataclass(frozen=True)
class Authority:
    """One that certifies names, for as long as a test runs."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key, _certificate("authority", key, "authority", key, authority=True))

    def server(self, name: str, folder: Path) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(name, key, "authority", self.key, authority=False)
        chain, secret = folder / "chain.pem", folder / "key.pem"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(chain, secret)
        return context

    def trusted(self) -> ssl.SSLContext:
        text = self.certificate.public_bytes(serialization.Encoding.PEM).decode()
        return ssl.create_default_context(cadata=text)


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, by: ec.EllipticCurvePrivateKey, *, authority: bool
) -> x509.Certificate:
    def called(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    now = datetime.datetime.now(datetime.UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    return (
        x509.CertificateBuilder()
        .subject_name(called(name))
        .issuer_name(called(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .sign(by, hashes.SHA256())
    )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority.create()


async def test_tls_and_host_keep_the_name_while_the_checked_address_is_dialled(
    authority: Authority, tmp_path: Path
) -> None:
    serves, dial, names = authority.server("black-swan.example", tmp_path), Dial(), list[str | None]()
    serves.set_servername_callback(lambda _, name, __: names.append(name))
    options = Options(resolve=Names(["127.0.0.1"]), dial=dial, serves=serves, trusts=authority.trusted())
    async with remote(whole(b"{}"), "https://black-swan.example", **options) as (server, gateway):
        assert (await gateway.call("/health")).status == 200
    assert dial.dialled == ["127.0.0.1"]
    assert names == ["black-swan.example"]
    assert b"host: black-swan.example:%d\r\n" % server.port in server.requests[0].lower()


@pytest.mark.parametrize("name", ["grackle.example", "*.other.example", "127.0.0.1"])
async def test_a_certificate_of_another_name_is_refused(authority: Authority, tmp_path: Path, name: str) -> None:
    serves, trusts = authority.server(name, tmp_path), authority.trusted()
    options = Options(resolve=Names(["127.0.0.1"]), serves=serves, trusts=trusts)
    async with remote(whole(b"{}"), "https://black-swan.example", **options) as (server, gateway):
        with pytest.raises(TlsRefused):
            await gateway.call("/health")
    assert server.requests == []


async def test_a_certificate_that_the_system_does_not_trust_is_refused(authority: Authority, tmp_path: Path) -> None:
    serves = authority.server("127.0.0.1", tmp_path)
    async with remote(whole(b"{}"), "https://127.0.0.1", serves=serves) as (server, gateway):
        with pytest.raises(TlsRefused):
            await gateway.call("/health")
    assert server.requests == []


async def test_a_server_that_wants_a_certificate_of_ours_is_refused(authority: Authority, tmp_path: Path) -> None:
    serves = authority.server("127.0.0.1", tmp_path)
    serves.verify_mode = ssl.CERT_REQUIRED

    def shake_hands(listener: socket.socket) -> None:
        plain, _ = listener.accept()
        with serves.wrap_socket(plain, server_side=True, do_handshake_on_connect=False) as connection:
            with suppress(ssl.SSLError):
                connection.do_handshake()
            while os.read(connection.fileno(), 4096):  # closed earlier, its complaint would be lost with it
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        handshake = asyncio.create_task(asyncio.to_thread(shake_hands, listener))
        url = parse(f"https://127.0.0.1:{listener.getsockname()[1]}")
        async with RemoteGateway(url, bounds=GENEROUS, tls=authority.trusted()) as gateway:
            with pytest.raises(TlsRefused):
                await gateway.call("/health")
        await handshake


async def test_https_to_a_port_of_plain_http_is_refused() -> None:
    async def complain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(complain, "127.0.0.1", 0) as plain:
        url = parse(f"https://127.0.0.1:{plain.sockets[0].getsockname()[1]}")
        async with RemoteGateway(url, bounds=GENEROUS) as gateway:
            with pytest.raises(TlsRefused):
                await gateway.call("/health")


async def test_a_handshake_that_hangs_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = parse(f"https://127.0.0.1:{silent.getsockname()[1]}")
        async with RemoteGateway(url, bounds=Bounds(connect_seconds=0.05, total_seconds=20)) as gateway:
            with pytest.raises(TimedOut, match=r"within 0\.05 seconds"):
                await gateway.call("/health")
