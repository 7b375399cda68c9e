"""Two machines connected in memory, and ways to bring bytes from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from crow_plugins.feed import channels, wire
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.secret_stream import RANDOM_BYTES, SecretStream
from crow_plugins.feed.wire import Wire
from crow_plugins.identity.keys import KeyPair

CALLER, CALLED = KeyPair(b"\1" * 32), KeyPair(b"\2" * 32)
WAYS = [1, 7, 2**24]  # bytes that arrive at once

Machine = SecretStream | Wire
Heard = wire.Event | channels.Event | bytes


def randomness(byte: int) -> bytes:
    return bytes([byte]) * RANDOM_BYTES


def streams() -> tuple[SecretStream, SecretStream]:
    """The caller's side and the called one's, before they have exchanged anything."""
    return (
        SecretStream(initiator=True, static=CALLER, randomness=randomness(3)),
        SecretStream(initiator=False, static=CALLED, randomness=randomness(4)),
    )


def wires() -> tuple[Wire, Wire]:
    return (
        Wire(initiator=True, static=CALLER, randomness=randomness(3)),
        Wire(initiator=False, static=CALLED, randomness=randomness(4)),
    )


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def hear(machine: Machine, data: bytes, size: int = 2**24) -> list[Heard]:
    """What happens when these bytes arrive in pieces of a size."""
    events: list[Heard] = []
    for piece in pieces(data, size):
        machine.receive_data(piece)
        while (event := machine.next_event()) is not None:
            events.append(event)
    return events


def settle(one: Machine, other: Machine, size: int = 2**24) -> tuple[list[Heard], list[Heard]]:
    """Bring bytes both ways until nothing more is due: what each side heard."""
    heard: tuple[list[Heard], list[Heard]] = ([], [])
    while (there := one.data_to_send()) + (back := other.data_to_send()):
        heard[1].extend(hear(other, there, size))
        heard[0].extend(hear(one, back, size))
    return heard


def connected_streams() -> tuple[SecretStream, SecretStream]:
    pair = streams()
    settle(*pair)
    return pair


def connected_wires() -> tuple[Wire, Wire]:
    pair = wires()
    settle(*pair)
    return pair


def refused(machine: Machine, data: bytes, size: int = 2**24) -> RemoteProtocolError:
    """The error that these bytes cause; nothing is heard from this peer ever after."""
    with pytest.raises(RemoteProtocolError) as first:
        hear(machine, data, size)
    again: list[Callable[[], object]] = [lambda: machine.receive_data(b"x"), machine.next_event]
    for attempt in again:
        with pytest.raises(RemoteProtocolError) as later:
            attempt()
        assert later.value is first.value
    assert machine.data_to_send() == b""
    return first.value


def ended(machine: Machine) -> Heard | None:
    machine.receive_data(b"")
    return machine.next_event()
