"""The handshake: who may be taken for whom, and what a peer can break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed.errors import Malformed, RemoteProtocolError, WrongState
from crow_plugins.feed.noise import IK, MESSAGE_BYTES_MAX, XX, Handshake, HandshakeFailed, Pattern
from crow_plugins.identity.keys import KeyPair

CALLER, CALLED, STRANGER = (KeyPair(bytes([byte]) * 32) for byte in (1, 2, 3))


def side(initiator: bool, static: KeyPair, ephemeral: int, pattern: Pattern = XX, known: KeyPair = CALLED) -> Handshake:
    return Handshake(
        initiator=initiator,
        static=static,
        ephemeral=KeyPair(bytes([ephemeral]) * 32),
        pattern=pattern,
        remote_static=known.public_key if pattern is IK and initiator else None,
    )


def sides(pattern: Pattern = XX, known: KeyPair = CALLED) -> tuple[Handshake, Handshake]:
    return side(True, CALLER, 4, pattern, known), side(False, CALLED, 5, pattern)


@pytest.mark.parametrize("pattern", [XX, IK])
def test_both_sides_agree_and_learn_who_the_other_is(pattern: Pattern) -> None:
    one, other = sides(pattern)
    while one.session is None or other.session is None:
        writer, reader = (one, other) if one.writes_next else (other, one)
        message = writer.write()
        assert len(message) <= MESSAGE_BYTES_MAX
        reader.read(message)
    assert (one.session.send_key, one.session.receive_key) == (other.session.receive_key, other.session.send_key)
    assert one.session.handshake_hash == other.session.handshake_hash
    assert one.session.remote_public_key == CALLED.public_key
    assert other.session.remote_public_key == CALLER.public_key


def test_another_passing_key_gives_another_session() -> None:
    hashes = set()
    for ephemeral in (4, 6):
        one, other = side(True, CALLER, ephemeral), side(False, CALLED, 5)
        other.read(one.write())
        one.read(other.write())
        other.read(one.write())
        assert other.session is not None
        hashes.add(other.session.handshake_hash)
    assert len(hashes) == 2


def test_a_session_shows_no_key_when_printed() -> None:
    one, other = sides(IK)
    other.read(one.write())
    other.write()
    session = other.session
    assert session is not None
    assert repr(session.send_key) not in repr(session)


def test_who_is_called_under_a_strangers_key_does_not_answer() -> None:
    one, other = sides(IK, known=STRANGER)
    with pytest.raises(HandshakeFailed):
        other.read(one.write())


@pytest.mark.parametrize("number", range(3))
def test_a_changed_byte_anywhere_in_the_handshake_ends_it(number: int) -> None:
    messages = transcript()
    for place in range(len(messages[number])):
        reader = read_up_to(number, messages)
        changed = bytearray(messages[number])
        changed[place] ^= 1
        assert breaks_off(reader, bytes(changed), messages), place


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("change", [-1, 1, -32])
def test_a_message_of_another_length_ends_the_handshake(number: int, change: int) -> None:
    messages = transcript()
    message = messages[number]
    changed = message[:change] if change < 0 else message + bytes(change)
    with pytest.raises(RemoteProtocolError):
        read_up_to(number, messages).read(changed)


@pytest.mark.parametrize("key", [bytes(32), b"\1" + bytes(31), b"\xff" * 32], ids=["zero", "neutral", "no point"])
def test_a_key_that_makes_a_secret_of_no_worth_is_refused(key: bytes) -> None:
    one, other = sides()
    other.read(key)
    with pytest.raises(HandshakeFailed):
        other.write()
    with pytest.raises(WrongState):
        other.read(one.write())


def test_nothing_is_read_after_a_failure() -> None:
    messages = transcript()
    one, _ = sides()
    one.write()
    with pytest.raises(HandshakeFailed):
        one.read(bytes(96))
    for attempt in (messages[1], messages[2]):
        with pytest.raises(WrongState):
            one.read(attempt)
    assert one.session is None


def test_speaking_out_of_turn_is_our_own_fault() -> None:
    one, other = sides()
    with pytest.raises(WrongState):
        other.write()
    with pytest.raises(WrongState):
        one.read(bytes(32))
    one.write()
    with pytest.raises(WrongState):
        one.write()


def test_whom_to_call_must_be_known_where_the_handshake_wants_it() -> None:
    with pytest.raises(WrongState):
        Handshake(initiator=True, static=CALLER, ephemeral=STRANGER, pattern=IK)


@given(st.binary(max_size=200), st.sampled_from([XX, IK]))
def test_no_bytes_cause_another_error_than_the_peers(message: bytes, pattern: Pattern) -> None:
    other = side(False, CALLED, 5, pattern)
    with pytest.raises((Malformed, HandshakeFailed)):
        other.read(message)
        other.write()
        other.read(message)


def transcript() -> list[bytes]:
    one, other = sides()
    first = one.write()
    other.read(first)
    second = other.write()
    one.read(second)
    return [first, second, one.write()]


def read_up_to(number: int, messages: list[bytes]) -> Handshake:
    """The side that reads message `number` next, keys and all as in the transcript."""
    one, other = sides()
    if number == 1:
        one.write()
        return one
    if number == 2:
        other.read(messages[0])
        other.write()
    return other


def breaks_off(reader: Handshake, message: bytes, messages: list[bytes]) -> bool:
    """Whether this message is refused, or else what is made of it by the peer that did not send it."""
    try:
        reader.read(message)
        answer = reader.write()
        one, _ = sides()
        assert one.write() == messages[0]
        one.read(answer)
    except (HandshakeFailed, Malformed):
        return True
    return False
