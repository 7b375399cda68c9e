"""Whatever an instance answers and proves, a call ends in one of the ways it may, in time, and the next one works."""

from __future__ import annotations

import asyncio
import gzip
import json
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from crow_hooks import CallAnswer
from crow_plugins import gateway, token
from crow_plugins.federation.exchange import EVENT_BYTES_MAX
from crow_plugins.federation.signed import ANSWER_BYTES_MAX
from tests.federation.chain import federation, know
from tests.federation.test_many import many
from tests.federation.test_proofs import jti_of
from tests.federation.world import served
from tests.replicator.gateways import Instance

pytestmark = pytest.mark.anyio
JSON, EVENTS = b"application/json", b"text/event-stream"
WORDS = "words-of-the-other-machine"
NUMBER = b"THE-NUMBER-OF-THE-QUESTION"  # stands in a script for what is known once it is asked
DRIP_SECONDS, HANGS_SECONDS = 0.3, 30.0


@dataclass
class Said:
    """An answer that is made up, and how it goes on after its last byte."""

    body: bytes
    kind: bytes = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    then: Literal["ends", "drips", "breaks"] = "ends"


class Scripted:
    """A gateway that answers calls with what was `said`, under its own proof; where nothing is, as it would."""

    def __init__(self, instance: Instance) -> None:
        self._instance, self._app = instance, gateway.application(instance.host)
        self.said: Said | None = None
        self.heads: list[dict[bytes, bytes]] = []
        self.left = asyncio.Event()  # whoever asked went away before the answer's end

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope.get("path") == "/mcp":
            self.heads.append(dict(scope["headers"]))
        if self.said is None or scope.get("path") != "/mcp":
            await self._app(scope, receive, send)
            return
        said, asked = self.said, b""
        while (part := await receive()).get("more_body"):
            asked += part["body"]
        number = json.loads(asked + part["body"])["id"]
        proof = token.proof(self._instance.host.sign, jti=jti_of(scope), status=said.status).encode()
        headers = [(b"content-type", said.kind), (b"crow-proof", proof), *said.headers]
        await send({"type": "http.response.start", "status": said.status, "headers": headers})
        body = said.body.replace(NUMBER, str(number).encode())
        await send({"type": "http.response.body", "body": body, "more_body": said.then != "ends"})
        if said.then == "breaks":
            raise ConnectionResetError
        if said.then == "drips":
            leaving = asyncio.create_task(receive())
            while not leaving.done():
                await send({"type": "http.response.body", "body": b" ", "more_body": True})
                await asyncio.sleep(0)  # not to wait: the caller has its turn only when this gives it one
            self.left.set()


@asynccontextmanager
async def scripted(folder: Path) -> AsyncIterator[tuple[Scripted, Any, str]]:
    """The gateway, the federation service of one that calls it, and the id under which it does."""
    async with many(folder, "grackle", "swan") as made:
        grackle, swan = made.values()
        there = Scripted(swan)
        async with served(there) as url:
            await to_thread(know, grackle, swan, url)
            yield there, federation(grackle), swan.host.instance.id


def message(**said: object) -> bytes:
    return (
        json.dumps({"jsonrpc": "2.0", "id": NUMBER.decode(), **said})
        .replace(f'"{NUMBER.decode()}"', NUMBER.decode())
        .encode()
    )


def result(text: str, **more: object) -> bytes:
    return message(result={"resultType": "complete", "content": [{"type": "text", "text": text}], **more})


def event(data: bytes) -> bytes:
    return b"event: message\r\ndata: " + data + b"\r\n\r\n"


def progress(number: bytes, done: object) -> bytes:
    said = {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": "TOKEN", "progress": done},
    }
    return event(json.dumps(said).encode().replace(b'"TOKEN"', number))


LONG = WORDS.encode() * (ANSWER_BYTES_MAX // len(WORDS) + 1)
WRONG = {
    "no message": (Said(json.dumps({"text": WORDS}).encode()), "is no answer"),
    "no JSON, though it says so": (Said(WORDS.encode()), "is no answer"),
    "no type of an answer": (Said(f"<p>{WORDS}</p>".encode(), b"text/html"), "is no answer"),
    "an answer to another question": (Said(result(WORDS).replace(NUMBER, b"4711")), "is no answer"),
    "a result of another form": (Said(message(result={"content": WORDS})), "is no answer"),
    "a question back": (Said(message(result={"resultType": "input_required", "requestState": WORDS})), "is no answer"),
    "an error": (Said(message(error={"code": -32603, "message": WORDS})), "is no answer"),
    "accepted": (Said(b"", status=202), "is no answer"),
    "elsewhere": (Said(b"", status=307, headers=((b"location", b"http://127.0.0.1:9/mcp"),)), "leads on to another"),
    "elsewhere on the same machine": (Said(b"", status=307, headers=((b"location", b"/router/mcp"),)), "leads on to"),
    "compressed": (Said(gzip.compress(result(WORDS)), headers=((b"content-encoding", b"gzip"),)), "is compressed"),
    "too long": (Said(b" " * ANSWER_BYTES_MAX + result(WORDS)), "has more than"),
    "too long an event": (Said(event(b" " * EVENT_BYTES_MAX + result(WORDS)), EVENTS), "is no answer"),
    "events without an end": (Said(progress(NUMBER, 1), EVENTS), "is no answer"),
    "broken off": (Said(result(WORDS)[:-1], then="breaks"), "broke off"),
}


@pytest.mark.parametrize("some", [list(WRONG)[::2], list(WRONG)[1::2]], ids=["one half", "the other"])
async def test_what_is_no_answer_fails_by_a_sentence_of_ours_and_the_next_call_works(
    tmp_path: Path, some: list[str]
) -> None:
    async with scripted(tmp_path) as (there, calls, swan_id):
        for name in some:
            there.said, sentence = WRONG[name]
            outcome = await calls.call(swan_id, "crow_search", {"query": "x"})
            assert (name, outcome.code) == (name, "too_large" if name == "too long" else "unreachable")
            assert sentence in outcome.reason, name
            assert WORDS not in outcome.reason, name
            there.said = None
            outcome = await calls.call(swan_id, "crow_search", {"query": "x"})
            assert isinstance(outcome, CallAnswer), (name, outcome)


async def test_a_refusal_says_why_in_the_others_words(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (there, calls, swan_id):
        for status, body, reason in (
            (403, json.dumps({"code": "closed", "error_description": WORDS}).encode(), WORDS),
            (500, WORDS.encode(), "the other instance answered with status 500"),
            (404, message(error={"code": -32601, "message": WORDS}), "the other instance answered with status 404"),
        ):
            there.said = Said(body, status=status)
            outcome = await calls.call(swan_id, "crow_search", {"query": "x"})
            assert (outcome.code, outcome.reason) == ("refused", reason)


async def test_an_answer_that_drips_is_left_when_the_time_is_over(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (there, calls, swan_id):
        for kind in (JSON, EVENTS):
            there.said = Said(result(WORDS)[:-1], kind, then="drips")
            there.left.clear()
            outcome = await calls.call(swan_id, "crow_search", {"query": "x"}, timeout_seconds=DRIP_SECONDS)
            assert outcome.code == "timed_out"
            async with asyncio.timeout(HANGS_SECONDS):
                await there.left.wait()


async def test_events_tell_progress_of_this_call_and_then_the_answer(tmp_path: Path) -> None:
    heard = []

    async def note(done: float, total: float | None, said: str | None) -> None:
        heard.append((done, total, said))
        raise RuntimeError("who listens cannot break the call")

    async with scripted(tmp_path) as (there, calls, swan_id):
        steps = [
            progress(NUMBER, 1),
            progress(b"4711", 2),
            progress(NUMBER, WORDS),
            b": ping\r\n\r\n",
            progress(NUMBER, 3),
        ]
        there.said = Said(b"".join([*steps, event(result(WORDS, structuredContent={"text": WORDS}))]), EVENTS)
        outcome = await calls.call(swan_id, "crow_search", {"query": "x"}, progress=note)
        assert (outcome.content, outcome.structured) == (WORDS, {"text": WORDS})
        assert heard == [(1, None, None), (3, None, None)]


async def test_what_a_tool_says_of_its_failure_is_the_tools_error(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (there, calls, swan_id):
        there.said = Said(result(WORDS, isError=True))
        outcome = await calls.call(swan_id, "crow_search", {"query": "x"})
        assert (outcome.code, outcome.reason) == ("tool_error", WORDS)


async def test_a_call_says_its_era_and_tool_in_headers_and_takes_no_cookies_along(tmp_path: Path) -> None:
    async with scripted(tmp_path) as (there, calls, swan_id):
        there.said = Said(result(WORDS), headers=((b"set-cookie", b"who=grackle"),))
        for _ in range(2):
            assert isinstance(await calls.call(swan_id, "crow_search", {"query": "x"}), CallAnswer)
        for head in there.heads:
            assert head[b"mcp-protocol-version"] == b"2026-07-28"
            assert (head[b"mcp-method"], head[b"mcp-name"]) == (b"tools/call", b"crow_search")
            assert head[b"accept-encoding"] == b"identity"
            assert b"cookie" not in head
