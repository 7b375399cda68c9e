"""The wire against npm's packages as another process, over TCP: what each side says, the other understands."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.feed import capability, messages
from crow_plugins.feed.channels import Channel, Close, Closed, Message, Offered, Open, Opened
from crow_plugins.feed.messages import PROTOCOL, FeedMessage, Range, Sync
from crow_plugins.feed.secret_stream import RANDOM_BYTES, Ended, NotAuthentic, Secured
from crow_plugins.feed.wire import Command, Event, KeepAlive, Wire
from crow_plugins.identity.keys import KeyPair

INTEROP = Path(__file__).parent.parent / "interop"
NODE = shutil.which("node")
SECONDS_MAX = 60
OURS = KeyPair(b"\1" * 32)

pytestmark = pytest.mark.skipif(
    NODE is None or not (INTEROP / "node_modules" / "protomux").is_dir(),
    reason="npm's packages are not there: run `npm install` in tests/interop",
)


class Peer:
    """A process of npm's, and our side of the connection to it."""

    def __init__(self, listener: socket.socket, script: str, role: str, *arguments: object) -> None:
        assert NODE is not None
        port = listener.getsockname()[1]
        command = [NODE, str(INTEROP / script), str(port), role, *map(str, arguments)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.wire = Wire(initiator=role == "responder", static=OURS, randomness=os.urandom(RANDOM_BYTES))
        self.socket, _ = listener.accept()
        self.socket.settimeout(SECONDS_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.wire.data_to_send())

    def line(self) -> dict[str, Any]:
        """The next thing that the process says."""
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def hears(self, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first thing that it says for which the condition holds."""
        return next(line for line in iter(self.line, None) if condition(line))

    def send(self, *commands: Command) -> None:
        self.socket.sendall(self.wire.send(*commands))

    def event(self) -> Event:
        """The next event, however many bytes it takes."""
        while (event := self.wire.next_event()) is None:
            self.socket.sendall(self.wire.data_to_send())
            self.wire.receive_data(self._received())
        self.socket.sendall(self.wire.data_to_send())
        return event

    def _received(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.socket.close()
        self.process.communicate(timeout=SECONDS_MAX)


Connect = Callable[..., Peer]


@pytest.fixture
def connect() -> Iterator[Connect]:
    peers: list[Peer] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS_MAX)

        def connected(script: str, role: str, *arguments: object) -> Peer:
            peers.append(Peer(listener, script, role, *arguments))
            return peers[-1]

        yield connected
    for peer in peers:
        peer.close()


def feed_message(event: Event) -> FeedMessage | None:
    assert isinstance(event, Message)
    return messages.decode(event.type, event.payload)


def said(channel: Channel, message: FeedMessage) -> Message:
    return Message(channel, *messages.encode(message))


def secured(peer: Peer) -> Secured:
    event = peer.event()
    assert isinstance(event, Secured)
    return event


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_npm_and_we_prove_our_keys_to_each_other(connect: Connect, tmp_path: Path, role: str) -> None:
    peer = connect("wire_core.mjs", role, tmp_path / "core", 0)
    ours = secured(peer)
    about, theirs = peer.line(), peer.line()
    assert ours.remote_public_key.hex() == about["publicKey"]
    assert theirs == {"remotePublicKey": OURS.public_key.hex(), "handshakeHash": ours.handshake_hash.hex()}


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_npm_and_we_tell_each_other_what_we_hold(connect: Connect, tmp_path: Path, role: str) -> None:
    peer = connect("wire_core.mjs", role, tmp_path / "core", 5)
    session, about = secured(peer), peer.line()
    key, channel = bytes.fromhex(about["key"]), Channel(PROTOCOL, bytes.fromhex(about["discoveryKey"]))
    offered = peer.event()
    assert isinstance(offered, Offered)
    capability.verify(offered.handshake, session.handshake_hash, not peer.wire.initiator, key)
    peer.send(
        Open(channel, capability.prove(session.handshake_hash, peer.wire.initiator, key)),
        said(channel, Sync(fork=0, length=5, remote_length=0, can_upgrade=True, has_manifest=True)),
        said(channel, Range(0, 5)),
    )
    assert peer.event() == Opened(channel, offered.handshake)
    sync, held = feed_message(peer.event()), feed_message(peer.event())
    assert isinstance(sync, Sync)
    assert (sync.fork, sync.length, sync.remote_length) == (0, 5, 0)
    assert held == Range(0, 5)
    heard = peer.hears(lambda line: line.get("contiguous") == 5)
    assert heard == {"length": 5, "fork": 0, "synced": True, "contiguous": 5}


def test_npm_ends_the_connection_for_a_false_capability(connect: Connect, tmp_path: Path) -> None:
    peer = connect("wire_core.mjs", "initiator", tmp_path / "core", 1)
    session, about = secured(peer), peer.line()
    channel = Channel(PROTOCOL, bytes.fromhex(about["discoveryKey"]))
    peer.event()
    peer.send(Open(channel, capability.prove(session.handshake_hash, peer.wire.initiator, b"\0" * 32)))
    assert isinstance(peer.event(), Opened)
    assert peer.event() == Ended()
    assert "error" in peer.hears(lambda line: "error" in line)


def test_npm_closes_the_channel_of_a_feed_that_is_declined(connect: Connect, tmp_path: Path) -> None:
    peer = connect("wire_core.mjs", "responder", tmp_path / "core", 1)
    secured(peer)
    offered = peer.event()
    assert isinstance(offered, Offered)
    peer.send(Close(offered.channel), KeepAlive())
    unknown = Channel(PROTOCOL, b"\0" * 32)
    peer.send(Open(unknown, bytes(33)))
    assert peer.event() == Closed(unknown, refused=True)


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_messages_of_every_size_come_back_from_npm(connect: Connect, role: str) -> None:
    peer, channel = connect("wire_echo.mjs", role), Channel("echo", b"one")
    secured(peer)
    peer.send(Open(channel, b"hello from here"))
    assert peer.event() == Opened(channel, b"hello from npm")
    assert peer.line() == {"opened": "hello from here"}
    for size in (0, 1, 252, 253, 65_536, 2_000_000):
        message = Message(channel, 0, os.urandom(size))
        peer.send(message)
        assert peer.event() == message


def test_a_batch_of_several_channels_comes_back_from_npm_as_batches(connect: Connect) -> None:
    peer = connect("wire_echo.mjs", "responder")
    secured(peer)
    one, none = Channel("echo", b"one"), Channel("echo")
    peer.send(Open(one), Open(none))
    assert {peer.event(), peer.event()} == {Opened(one, b"hello from npm"), Opened(none, b"hello from npm")}
    sent = [Message(channel, 1, bytes([n])) for n in range(20) for channel in (one, none)]
    peer.send(*sent)
    assert [peer.event() for _ in range(120)] == [message for message in sent for _ in range(3)]


def test_a_channel_can_be_closed_and_opened_again_with_npm(connect: Connect) -> None:
    peer, channel = connect("wire_echo.mjs", "initiator"), Channel("echo", b"again")
    secured(peer)
    for _ in range(3):
        peer.send(Open(channel))
        assert peer.event() == Opened(channel, b"hello from npm")
        peer.send(Message(channel, 0, b"x"))
        assert peer.event() == Message(channel, 0, b"x")
        peer.send(Close(channel))
        peer.hears(lambda line: "ended" in line)


def test_npm_refuses_what_was_changed_on_its_way(connect: Connect) -> None:
    peer = connect("wire_echo.mjs", "initiator")
    secured(peer)
    changed = bytearray(peer.wire.send(Open(Channel("echo"))))
    changed[-1] ^= 1
    peer.socket.sendall(changed)
    assert peer.event() == Ended()
    assert "error" in peer.hears(lambda line: "error" in line)


def test_we_refuse_what_was_changed_on_its_way_from_npm(connect: Connect) -> None:
    peer = connect("wire_echo.mjs", "responder")
    secured(peer)
    peer.send(Open(Channel("echo")))
    received = bytearray()
    while len(received) < 3 + 32 + 24 + 20:  # npm's header and its answer
        received += peer.socket.recv(65536)
    received[-1] ^= 1
    peer.wire.receive_data(bytes(received))
    with pytest.raises(NotAuthentic):
        peer.wire.next_event()
