"""Somebody at an address that an instance dials, who knows all that is public, and writes down what he hears."""

from __future__ import annotations

import asyncio
import json
import os
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from crow_plugins.feed.channels import Message, Offered, Open, Opened
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Secured
from crow_plugins.feed.wire import Wire
from crow_plugins.identity import canonical_json, challenge, signing
from crow_plugins.replicator import membership
from tests.federation.world import served
from tests.registry.world import CHAIN, OTHER_CHAIN, PATH, Machine

D = b"\xdd" * 32


@dataclass
class Liar:
    """`swan` is the instance he says he is: its certificate as a stranger sees it, and what it answered others."""

    swan: Machine
    url: str = ""
    lie: Callable[[Liar, bytes], bytes] = field(default=lambda liar, body: liar.self_made(body))
    paths: list[str] = field(default_factory=list)
    heard: list[bytes] = field(default_factory=list)
    own: Machine = field(default_factory=lambda: Machine("swan", chain=OTHER_CHAIN))

    def self_made(self, body: bytes) -> bytes:
        """A certificate of our chain, as he would like it to be."""
        shown = json.loads(self.own.shown)
        shown["certificate"] |= {"chain": CHAIN.public_key.hex(), "instance_id": self.swan.id}
        return self._answer(body, canonical_json.encode(shown))

    def borrowed(self, body: bytes) -> bytes:
        """The true certificate, and a signature by a key of his own."""
        return self._answer(body, self.swan.shown)

    def recorded(self, body: bytes) -> bytes:
        """What the true one answered somebody else, with our challenge written in."""
        before = challenge.read_hello(challenge.hello(self.own.id, D), self.swan.id)
        key = self.swan.device.instance
        _, answer = challenge.answer(before, self.swan.shown, CHAIN.public_key, key, D)
        return canonical_json.encode({**json.loads(answer), "echo": json.loads(body)["challenge"]})

    def _answer(self, body: bytes, shown: bytes) -> bytes:
        hello = json.loads(body)
        said = {"challenge": D.hex(), "echo": hello["challenge"], "certificate": json.loads(shown)}
        payload = canonical_json.encode(
            {
                "step": "answer",
                "caller": hello["instance_id"],
                "callee": self.swan.id,
                "caller_challenge": hello["challenge"],
                "callee_challenge": D.hex(),
                "certificate": said["certificate"],
            }
        )
        signature = signing.sign(self.own.device.instance, challenge.PURPOSE, self.swan.id, payload)
        return canonical_json.encode({"v": 1, **said, "signature": signature.hex()})

    # ---- at the address -----------------------------------------------------------------------

    async def http(self, request: Request) -> Response:
        body = await request.body()
        path = request.url.path
        self.paths.append(path)
        self.heard += [request.url.path.encode(), *(part for pair in request.headers.raw for part in pair), body]
        if path == "/health":
            return JSONResponse({"status": "ok", "instance_id": self.swan.id, "name": "swan", "version": "1"})
        return Response(self.lie(self, body) if path == PATH else b"{}", media_type="application/json")

    async def sync(self, socket: WebSocket) -> None:
        """The handshake is good with any key; what is said in it he can read."""
        await socket.accept()
        wire = Wire(initiator=False, static=self.own.device.noise, randomness=os.urandom(RANDOM_BYTES))
        try:
            while True:
                data = await socket.receive_bytes()
                self.heard.append(data)
                wire.receive_data(data)
                if sent := self._answers(wire):  # no bytes at all would be the end
                    await socket.send_bytes(sent)
        except (WebSocketDisconnect, RemoteProtocolError):
            self.paths.append("/sync")

    def _answers(self, wire: Wire) -> bytes:
        sent = b""
        while (event := wire.next_event()) is not None:
            self.heard.append(repr(event).encode())
            match event:
                case Secured() | Offered(channel=membership.CHANNEL):
                    sent += wire.send(Open(membership.CHANNEL))
                case Opened(channel=membership.CHANNEL):
                    self.paths.append("introduced")
                    said = {"v": 1, "certificate": self.swan.shown.decode(), "signature": "00" * 64}
                    lists: dict[str, list[str]] = {"certificates": [], "revocations": []}
                    sent += wire.send(Message(membership.CHANNEL, 0, canonical_json.encode({**said, **lists})))
                case Message(payload=payload):
                    self.heard.append(payload)
                case _:
                    pass
        return sent + wire.data_to_send()


@asynccontextmanager
async def lying(swan: Machine) -> AsyncIterator[Liar]:
    liar = Liar(swan)
    app = Starlette(
        routes=[
            WebSocketRoute("/sync", liar.sync),
            Route("/{path:path}", liar.http, methods=["GET", "POST", "DELETE"]),
        ]
    )
    async with served(app) as liar.url:
        yield liar


def is_told(key: bytes, said: bytes) -> bool:
    """Whether a key stands in what was said: raw, as hex, or within something in base64."""
    return key in said or key.hex().encode() in said.lower() or any(form in said for form in _in_base64(key))


def _in_base64(key: bytes) -> Iterator[bytes]:
    """What all encodings have in common that the key stands in, for each place where it can begin."""
    for before in range(3):
        whole = b64encode(b"\0" * before + key + b"\0" * 3)
        middle = whole[(8 * before + 5) // 6 : (8 * (before + len(key))) // 6]
        yield from {middle, middle.translate(bytes.maketrans(b"+/", b"-_"))}


async def until_heard(liar: Liar, path: str) -> None:
    async with asyncio.timeout(60):
        while path not in liar.paths:  # noqa: ASYNC110  # what is at the address tells no event
            await asyncio.sleep(0.01)
