"""The secret stream: sealed messages whole and in order, or nothing."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from crow_plugins.feed.errors import Malformed, OverLimit, RemoteProtocolError, Unencodable, WrongState
from crow_plugins.feed.limits import FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX
from crow_plugins.feed.noise import HandshakeFailed
from crow_plugins.feed.secret_stream import (
    MESSAGE_BYTES_MAX,
    SEAL_BYTES,
    Ended,
    NotAuthentic,
    SecretStream,
    Secured,
    StreamCut,
)
from tests.feed.talking import (
    CALLED,
    CALLER,
    WAYS,
    connected_streams,
    ended,
    hear,
    pieces,
    randomness,
    refused,
    settle,
    streams,
)

MESSAGES = [b"", b"a", bytes(235), bytes(236), bytes(range(256)) * 300]


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + body


@pytest.mark.parametrize("size", WAYS)
def test_both_sides_learn_who_the_other_is_however_the_bytes_come(size: int) -> None:
    one, other = streams()
    (secured,), (also_secured,) = settle(one, other, size)
    assert isinstance(secured, Secured)
    assert isinstance(also_secured, Secured)
    assert secured.handshake_hash == also_secured.handshake_hash
    assert secured.remote_public_key == CALLED.public_key
    assert also_secured.remote_public_key == CALLER.public_key


@pytest.mark.parametrize("size", WAYS)
def test_messages_arrive_whole_and_in_order_however_the_bytes_come(size: int) -> None:
    one, other = connected_streams()
    assert hear(other, one.send(*MESSAGES), size) == MESSAGES
    assert hear(one, other.send(*MESSAGES), size) == MESSAGES


def test_what_comes_with_the_end_of_the_handshake_is_not_lost() -> None:
    one, other = streams()
    hear(other, one.data_to_send())
    (secured,) = hear(one, other.data_to_send())
    heard = hear(other, one.send(b"at once", b"and more"))
    assert isinstance(secured, Secured)
    assert isinstance(heard[0], Secured)
    assert heard[1:] == [b"at once", b"and more"]


def test_the_largest_message_travels_and_a_larger_one_is_refused_here() -> None:
    one, other = connected_streams()
    assert hear(other, one.send(bytes(MESSAGE_BYTES_MAX))) == [bytes(MESSAGE_BYTES_MAX)]
    with pytest.raises(Unencodable):
        one.send(b"small", bytes(MESSAGE_BYTES_MAX + 1))
    assert hear(other, one.send(b"nothing is lost")) == [b"nothing is lost"]


def test_nothing_is_opened_before_it_is_asked_for() -> None:
    one, other = connected_streams()
    other.receive_data(one.send(b"first", b"second"))
    assert [other.next_event() for _ in range(3)] == [b"first", b"second", None]


def test_the_same_message_never_looks_the_same() -> None:
    one, _ = connected_streams()
    assert one.send(b"again") != one.send(b"again")


def test_other_randomness_gives_other_bytes() -> None:
    callers = [SecretStream(initiator=True, static=CALLER, randomness=randomness(n)) for n in (5, 6)]
    assert callers[0].data_to_send() != callers[1].data_to_send()


def test_the_end_is_told_once_when_all_was_whole() -> None:
    one, other = connected_streams()
    assert hear(other, one.send(b"last")) == [b"last"]
    assert ended(other) == Ended()
    assert other.next_event() is None
    assert hear(one, other.send(b"heard you")) == [b"heard you"]


def test_an_end_inside_a_message_or_before_the_first_is_a_cut() -> None:
    whole = connected_streams()[0].send(b"message")
    for size in range(1, len(whole)):
        _, other = connected_streams()
        assert hear(other, whole[:size]) == []
        with pytest.raises(StreamCut):
            ended(other)
    with pytest.raises(StreamCut):
        ended(streams()[1])


def test_a_changed_byte_anywhere_is_refused() -> None:
    whole = connected_streams()[0].send(b"message")
    for place in range(3, len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x80
        assert isinstance(refused(connected_streams()[1], bytes(changed)), NotAuthentic), place


def test_a_changed_byte_anywhere_in_the_beginning_is_refused() -> None:
    one, other = streams()
    hear(other, one.data_to_send())
    hear(one, other.data_to_send())
    beginning = one.send(b"message")
    for place in range(len(beginning)):
        changed = bytearray(beginning)
        changed[place] ^= 0x80
        one, other = streams()
        hear(other, one.data_to_send())
        other.data_to_send()
        assert breaks(other, bytes(changed)), place


def breaks(machine: SecretStream, data: bytes) -> bool:
    """Whether these bytes and the end after them are refused."""
    try:
        hear(machine, data)
        ended(machine)
    except RemoteProtocolError:
        return True
    return False


@pytest.mark.parametrize("order", [(0, 0), (1,), (0, 2), (1, 0)], ids=["repeated", "lost", "a gap", "exchanged"])
def test_messages_out_of_their_order_are_refused(order: tuple[int, ...]) -> None:
    one, other = connected_streams()
    frames = [one.send(bytes([number])) for number in range(3)]
    assert isinstance(refused(other, b"".join(frames[number] for number in order)), NotAuthentic)


def test_our_own_messages_sent_back_are_refused() -> None:
    one, _ = connected_streams()
    assert isinstance(refused(one, one.send(b"mirror")), NotAuthentic)


def test_a_recorded_connection_played_again_is_refused() -> None:
    one, other = streams()
    first = one.data_to_send()
    hear(other, first)
    hear(one, other.data_to_send())
    rest = one.send(b"pay twice")
    again = SecretStream(initiator=False, static=CALLED, randomness=randomness(9))
    hear(again, first)
    again.data_to_send()
    assert isinstance(refused(again, rest), HandshakeFailed)


def test_a_header_of_another_connection_is_refused() -> None:
    one, other = streams()
    hear(other, one.data_to_send())
    hear(one, other.data_to_send())
    handshake, header = one.data_to_send()[:67], bytes(56)
    assert isinstance(refused(other, handshake + frame(header)), NotAuthentic)


def test_a_header_of_another_length_is_refused() -> None:
    one, other = streams()
    hear(other, one.data_to_send())
    hear(one, other.data_to_send())
    assert isinstance(refused(other, one.data_to_send()[:67] + frame(bytes(55))), Malformed)


@pytest.mark.parametrize("size", range(SEAL_BYTES))
def test_a_frame_with_no_room_for_a_seal_is_refused(size: int) -> None:
    assert isinstance(refused(connected_streams()[1], frame(bytes(size))), Malformed)


@pytest.mark.parametrize("tag", [1, 2, 3])
def test_a_sealed_message_of_a_kind_that_npm_never_sends_is_refused(tag: int) -> None:
    one, other = connected_streams()
    body = bindings.crypto_secretstream_xchacha20poly1305_push(one._sealing, b"odd", None, tag)
    assert isinstance(refused(other, frame(body)), Malformed)


def test_a_handshake_frame_may_have_512_bytes_and_no_more() -> None:
    over = (HANDSHAKE_FRAME_BYTES_MAX + 1).to_bytes(3, "little")
    assert isinstance(refused(streams()[1], over), OverLimit)
    assert hear(streams()[1], HANDSHAKE_FRAME_BYTES_MAX.to_bytes(3, "little")) == []
    assert isinstance(refused(streams()[1], frame(bytes(HANDSHAKE_FRAME_BYTES_MAX))), RemoteProtocolError)


def test_an_announced_frame_costs_only_what_came_of_it() -> None:
    _, other = connected_streams()
    announced = FRAME_BYTES_MAX.to_bytes(3, "little") + bytes(1000)
    tracemalloc.start()
    assert hear(other, announced, 1) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


def test_a_large_message_is_not_kept_when_it_has_been_read() -> None:
    one, other = connected_streams()
    assert len(hear(other, one.send(bytes(2**21)))) == 1
    assert one._sealing.rawbuf is None
    assert other._opening.rawbuf is None
    assert len(other._inbox) == 0


def test_sending_before_the_peer_has_proved_itself_is_our_own_fault() -> None:
    one, _ = streams()
    with pytest.raises(WrongState):
        one.send(b"early")


def test_sending_after_an_error_is_our_own_fault() -> None:
    one, other = connected_streams()
    refused(other, frame(b""))
    with pytest.raises(WrongState):
        other.send(b"late")
    assert isinstance(refused(one, frame(b"")), Malformed)


def test_bytes_after_the_end_are_our_own_fault() -> None:
    _, other = connected_streams()
    ended(other)
    with pytest.raises(WrongState):
        other.receive_data(b"x")
    other.receive_data(b"")


def test_too_little_randomness_is_our_own_fault() -> None:
    with pytest.raises(Unencodable):
        SecretStream(initiator=True, static=CALLER, randomness=bytes(32))


@given(st.binary(max_size=600), st.booleans())
def test_no_bytes_before_the_handshake_cause_another_error_than_the_peers(data: bytes, initiator: bool) -> None:
    only_the_peers_errors(streams()[0 if initiator else 1], data)


@given(st.binary(max_size=600), st.booleans())
def test_no_bytes_after_the_handshake_cause_another_error_than_the_peers(data: bytes, initiator: bool) -> None:
    only_the_peers_errors(connected_streams()[0 if initiator else 1], data)


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 700))
def test_messages_are_the_same_in_pieces_of_any_size(messages: list[bytes], size: int) -> None:
    one, other = connected_streams()
    assert hear(other, one.send(*messages), size) == messages


def only_the_peers_errors(machine: SecretStream, data: bytes) -> None:
    try:
        for piece in pieces(data, 100):
            hear(machine, piece)
        ended(machine)
    except RemoteProtocolError:
        assert machine.data_to_send() == b""
