"""Channels on one stream, and the whole wire: who may open what, what crosses, and how much a peer can cost."""

from __future__ import annotations

import random
import tracemalloc
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed import batches, limits
from crow_plugins.feed.batches import Part, Parts
from crow_plugins.feed.channels import (
    ANSWERS_MAX,
    OFFERS_MAX,
    PAYLOAD_BYTES_MAX,
    TYPE_MAX,
    Channel,
    Channels,
    Close,
    Closed,
    Command,
    Event,
    Message,
    Offered,
    Open,
    Opened,
)
from crow_plugins.feed.encoding import uint
from crow_plugins.feed.errors import Malformed, OverLimit, RemoteProtocolError, Unencodable, WrongState
from crow_plugins.feed.secret_stream import Ended, Secured, StreamCut
from crow_plugins.feed.wire import KeepAlive
from tests.feed.talking import WAYS, connected_wires, ended, hear, refused, settle, wires

FEED, OTHER = Channel("feed", b"\1" * 32), Channel("feed", b"\2" * 32)


def told(channels: Channels, frames: list[bytes]) -> list[Event]:
    events: list[Event] = []
    for frame in frames:
        channels.receive(frame)
        while (event := channels.next_event()) is not None:
            events.append(event)
    return events


def opened(*names: Channel) -> tuple[Channels, Channels]:
    """Both sides of a stream on which these channels are open."""
    one, other = Channels(), Channels()
    for name in names:
        told(other, one.send(Open(name)))
        told(one, other.send(Open(name)))
        while other.next_event():
            pass
    return one, other


def open_frame(number: int, protocol: bytes = b"feed", id: bytes = b"", handshake: bytes = b"") -> bytes:
    name = uint(len(protocol)) + protocol + uint(len(id)) + id
    return b"\0\1" + uint(number) + name + handshake


def breaks(frame: bytes, *, ours: Channels | None = None) -> RemoteProtocolError:
    """The error that a frame causes; it is raised ever after."""
    channels = ours or Channels()
    with pytest.raises(RemoteProtocolError) as first:
        told(channels, [frame])
    with pytest.raises(RemoteProtocolError) as later:
        channels.next_event()
    with pytest.raises(RemoteProtocolError):
        channels.receive(b"")
    with pytest.raises(WrongState):
        channels.send(Open(FEED))
    assert later.value is first.value
    assert channels.due() == []
    return first.value


# --- opening, talking, closing ---


def test_a_channel_is_open_when_both_sides_have_opened_it() -> None:
    one, other = Channels(), Channels()
    assert told(other, one.send(Open(FEED, b"hello"))) == [Offered(FEED, b"hello")]
    answer = other.send(Open(FEED, b"welcome"))
    assert told(one, answer) == [Opened(FEED, b"welcome")]
    assert other.next_event() == Opened(FEED, b"hello")


def test_a_channel_that_both_ask_for_at_once_is_one_channel() -> None:
    one, other = Channels(), Channels()
    asked, also_asked = one.send(Open(FEED, b"a")), other.send(Open(FEED, b"b"))
    assert told(one, also_asked) == [Opened(FEED, b"b")]
    assert told(other, asked) == [Opened(FEED, b"a")]
    assert told(other, one.send(Message(FEED, 0, b"x"))) == [Message(FEED, 0, b"x")]


def test_a_declined_channel_is_closed() -> None:
    one, other = Channels(), Channels()
    told(other, one.send(Open(FEED)))
    assert told(one, other.send(Close(FEED))) == [Closed(FEED, refused=True)]
    assert told(other, one.send(Open(FEED))) == [Offered(FEED, b"")]


def test_many_channels_of_one_protocol_do_not_mix() -> None:
    one, other = opened(FEED, OTHER, Channel("feed"))
    messages = [Message(channel, n, bytes([n])) for n in range(3) for channel in (FEED, OTHER, Channel("feed"))]
    frames = one.send(*messages)
    assert len(frames) == 1
    assert told(other, frames) == messages


def test_an_alias_names_the_same_channel() -> None:
    one, other = Channels(), Channels({"old": "feed"})
    assert told(other, one.send(Open(Channel("old", b"x")))) == [Offered(Channel("feed", b"x"), b"")]
    asking = Channels({"old": "feed"})
    asking.send(Open(Channel("feed", b"x")))
    assert told(asking, [open_frame(1, b"old", b"x")]) == [Opened(Channel("feed", b"x"), b"")]


def test_a_closed_channel_is_told_and_what_was_on_its_way_is_dropped() -> None:
    one, other = opened(FEED)
    crossing = other.send(Message(FEED, 1, b"late"))
    assert told(other, one.send(Close(FEED))) == [Closed(FEED)]
    assert told(one, crossing) == []
    assert told(one, other.send(Open(FEED))) == [Offered(FEED, b"")]


def test_a_channel_closed_from_both_sides_at_once_is_closed_once() -> None:
    one, other = opened(FEED)
    closing, also_closing = one.send(Close(FEED)), other.send(Close(FEED))
    assert told(one, also_closing) == told(other, closing) == []
    assert told(other, one.send(Open(FEED))) == [Offered(FEED, b"")]


def test_messages_that_come_before_we_agree_follow_the_opening() -> None:
    channels = Channels()
    frames = [open_frame(1, id=FEED.id or b""), b"\1\0early", b"\1\1bird"]
    assert told(channels, frames) == [Offered(FEED, b"")]
    channels.send(Open(FEED))
    waiting = [Message(FEED, 0, b"early"), Message(FEED, 1, b"bird")]
    assert [channels.next_event() for _ in range(4)] == [Opened(FEED, b""), *waiting, None]


def test_a_channel_closed_at_once_delivers_nothing_more() -> None:
    channels = Channels()
    told(channels, [open_frame(1, id=FEED.id or b""), b"\1\0early"])
    channels.send(Open(FEED), Close(FEED))
    assert channels.next_event() is None


def test_an_offer_that_is_taken_back_is_answered_so_that_its_number_is_free_again() -> None:
    one, other = Channels(), Channels()
    asked, withdrawn = one.send(Open(FEED)), one.send(Close(FEED))
    assert told(other, asked + withdrawn) == [Offered(FEED, b""), Closed(FEED, refused=True)]
    assert told(one, other.due()) == []
    assert one.send(Open(OTHER)) == [open_frame(1, id=OTHER.id or b"")]


def test_an_answer_that_comes_too_late_is_closed_again() -> None:
    one, other = Channels(), Channels()
    told(other, one.send(Open(FEED)))
    agreed, withdrawn = other.send(Open(FEED)), one.send(Close(FEED))
    assert told(one, agreed) == []
    assert other.next_event() == Opened(FEED, b"")
    assert told(other, withdrawn) == [Closed(FEED)]
    assert one.due() == [b"\0\3\1"]
    assert told(other, one.send(Open(FEED))) == [Offered(FEED, b"")]


def test_a_second_channel_of_one_name_is_declined() -> None:
    one, _ = opened(FEED)
    assert told(one, [open_frame(2, id=FEED.id or b"")]) == []
    assert one.due() == [b"\0\2\2"]


def test_an_empty_frame_and_what_is_unknown_are_passed_over() -> None:
    one, _ = opened(FEED)
    assert told(one, [b"", b"\0\x09whatever", b"\x07\0nobody", b"\0\3\0", b"\0\3\x09"]) == []


# --- what is the peer's fault ---


@pytest.mark.parametrize(
    "frame",
    [
        b"\0",
        b"\0\0",
        b"\0\0\1",
        b"\1",
        b"\xfd\1",
        b"\0\0\1\5\0abc",
        b"\0\0\0\2\0\0",
        b"\0\0\0\1\1",
        b"\0\1\1\4fee",
        b"\0\1\1\2\xff\xff\0",
        open_frame(0),
        open_frame(2),
        b"\0\2\1",
        b"\0\3",
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(frame: bytes) -> None:
    assert isinstance(breaks(frame), Malformed)


def test_a_message_longer_than_its_batch_is_refused() -> None:
    one, _ = opened(FEED)
    assert isinstance(breaks(b"\0\0\1\5\0abc", ours=one), Malformed)


def test_a_number_in_use_cannot_be_opened_again() -> None:
    channels = Channels()
    told(channels, [open_frame(1, id=b"a")])
    assert isinstance(breaks(open_frame(1, id=b"b"), ours=channels), Malformed)


@pytest.mark.parametrize(
    "frame",
    [
        open_frame(1, protocol=bytes(limits.PROTOCOL_NAME_BYTES_MAX + 1)),
        open_frame(1, id=bytes(limits.CHANNEL_ID_BYTES_MAX + 1)),
        open_frame(1, handshake=bytes(limits.CHANNEL_HANDSHAKE_BYTES_MAX + 1)),
        open_frame(limits.CHANNELS_MAX + 1),
    ],
    ids=["protocol", "id", "handshake", "number"],
)
def test_one_more_than_a_limit_of_an_opening_is_refused(frame: bytes) -> None:
    assert isinstance(breaks(frame), OverLimit)


def test_an_opening_at_its_limits_is_taken() -> None:
    name = Channel("p" * limits.PROTOCOL_NAME_BYTES_MAX, b"i" * limits.CHANNEL_ID_BYTES_MAX)
    handshake = bytes(limits.CHANNEL_HANDSHAKE_BYTES_MAX)
    assert told(Channels(), Channels().send(Open(name, handshake))) == [Offered(name, handshake)]


def test_ten_thousand_openings_are_stopped_at_the_limit() -> None:
    channels = Channels()
    frames = [open_frame(number, id=uint(number)) for number in range(1, 10_001)]
    tracemalloc.start()
    with pytest.raises(OverLimit):
        told(channels, frames)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 400_000


def test_ten_thousand_openings_are_stopped_even_if_all_are_agreed_to() -> None:
    channels = Channels()
    with pytest.raises(OverLimit):
        for number in range(1, 10_001):
            told(channels, [open_frame(number, id=uint(number))])
            channels.send(Open(Channel("feed", uint(number))))
            assert isinstance(channels.next_event(), Opened)
    assert number == limits.CHANNELS_MAX + 1


def test_offers_that_wait_are_limited() -> None:
    channels = Channels()
    told(channels, [open_frame(number, id=uint(number)) for number in range(1, OFFERS_MAX + 1)])
    assert isinstance(breaks(open_frame(OFFERS_MAX + 1), ours=channels), OverLimit)


def test_what_is_said_on_channels_that_are_not_open_is_limited() -> None:
    channels = Channels()
    told(channels, [open_frame(1, id=b"a"), open_frame(2, id=b"b")])
    half = limits.PENDING_BYTES_MAX // 2 - 512
    assert told(channels, [b"\1\0" + bytes(half), b"\2\0" + bytes(half)]) == []
    assert isinstance(breaks(b"\1\0", ours=channels), OverLimit)


def test_one_byte_more_on_a_channel_that_is_not_open_is_refused() -> None:
    for more in (0, 1):
        channels = Channels()
        told(channels, [open_frame(1)])
        frame = b"\1\0" + bytes(limits.PENDING_BYTES_MAX - 512 + more)
        assert isinstance(breaks(frame, ours=channels), OverLimit) if more else told(channels, [frame]) == []


def test_answers_that_a_peer_causes_are_limited() -> None:
    channels, _ = opened(FEED)
    again = [open_frame(2, id=FEED.id or b"")] * ANSWERS_MAX
    assert told(channels, again) == []
    assert isinstance(breaks(again[0], ours=channels), OverLimit)


def test_a_type_beyond_the_limit_is_refused() -> None:
    one, _ = opened(FEED)
    assert told(one, [b"\1" + uint(TYPE_MAX)]) == [Message(FEED, TYPE_MAX, b"")]
    assert isinstance(breaks(b"\1" + uint(TYPE_MAX + 1), ours=one), OverLimit)


def test_the_messages_in_a_batch_are_limited() -> None:
    assert isinstance(breaks(b"\0\0\1" + b"\1\0" * (batches.MESSAGES_MAX + 1)), OverLimit)
    assert isinstance(breaks(b"\0\0\1" + b"\0\1" * (batches.MESSAGES_MAX + 1)), OverLimit)
    assert told(Channels(), [b"\0\0\1" + b"\1\0" * batches.MESSAGES_MAX]) == []


# --- what is our own fault ---


@pytest.mark.parametrize(
    "command",
    [Message(FEED, 0, b"x"), Close(FEED), Open(OTHER)],
    ids=["a message on no channel", "closing no channel", "opening twice"],
)
def test_a_command_at_the_wrong_time_is_our_own_fault(command: Command) -> None:
    channels = Channels()
    channels.send(Open(OTHER))
    with pytest.raises(WrongState):
        channels.send(command)


def test_a_message_before_the_peer_has_agreed_is_our_own_fault() -> None:
    channels = Channels()
    with pytest.raises(WrongState):
        channels.send(Open(FEED), Message(FEED, 0, b"x"))
    assert channels.due() == [open_frame(1, id=FEED.id or b"")]


@pytest.mark.parametrize(
    "command",
    [
        Open(Channel("p" * (limits.PROTOCOL_NAME_BYTES_MAX + 1))),
        Open(Channel("p", bytes(limits.CHANNEL_ID_BYTES_MAX + 1))),
        Open(Channel("p"), bytes(limits.CHANNEL_HANDSHAKE_BYTES_MAX + 1)),
        Message(FEED, TYPE_MAX + 1, b""),
        Message(FEED, 0, bytes(PAYLOAD_BYTES_MAX + 1)),
    ],
    ids=["protocol", "id", "handshake", "type", "payload"],
)
def test_what_no_peer_would_take_is_not_sent(command: Command) -> None:
    one, _ = opened(FEED)
    with pytest.raises(Unencodable):
        one.send(command)
    assert one.due() == []


def test_more_channels_than_a_stream_may_have_are_not_asked_for() -> None:
    channels = Channels()
    channels.send(*(Open(Channel("feed", uint(number))) for number in range(limits.CHANNELS_MAX)))
    with pytest.raises(WrongState):
        channels.send(Open(FEED))


def test_taking_the_next_frame_too_early_is_our_own_fault() -> None:
    one, _ = opened(FEED)
    one.receive(b"\1\0x")
    with pytest.raises(WrongState):
        one.receive(b"\1\0y")
    assert one.next_event() == Message(FEED, 0, b"x")


# --- batches ---


def test_messages_share_frames_and_a_frame_has_its_limit() -> None:
    large = Part(1, bytes(limits.BATCH_BYTES_MAX - 20))
    assert len(batches.frames([Part(1, b"\0a"), Part(1, b"\0b"), Part(2, b"\0c")])) == 1
    frames = batches.frames([Part(1, b"\0a"), large, large, Part(2, b"\0c")])
    assert len(frames) == 4
    assert all(len(frame) <= limits.BATCH_BYTES_MAX for frame in frames)


def test_more_messages_than_a_frame_may_hold_go_in_two() -> None:
    assert len(batches.frames([Part(1, b"\0")] * batches.MESSAGES_MAX)) == 1
    assert len(batches.frames([Part(1, b"\0")] * (batches.MESSAGES_MAX + 1))) == 2


@given(st.lists(st.tuples(st.integers(0, 2**16), st.integers(0, 300), st.binary(max_size=300)), min_size=1))
def test_a_frame_comes_apart_as_it_was_put_together(messages: list[tuple[int, int, bytes]]) -> None:
    (frame,) = batches.frames(Part(channel, uint(type) + payload) for channel, type, payload in messages)
    if messages[0][:2] == (0, 0) and len(messages) == 1:
        return  # this is how a batch begins, and nobody else says it
    parts, apart = Parts(frame), []
    while part := parts.next():
        apart.append((part[0], part[1], part[2].raw()))
    assert apart == messages


# --- every history, and every input ---


@pytest.mark.parametrize("seed", range(60))
def test_both_sides_agree_in_the_end_whatever_crosses(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(300):
        world.step()
    world.settle()
    assert world.views[0] == world.views[1], f"seed {seed}"
    assert [world.numbers_lost(side) for side in (0, 1)] == [0, 0], f"seed {seed}"


class World:
    """Two sides that open, close and talk as they like, with frames that wait on their way."""

    NAMES = (FEED, OTHER, Channel("feed"))

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sides = (Channels(), Channels())
        self.ways: tuple[deque[bytes], deque[bytes]] = (deque(), deque())  # to each side
        self.views: tuple[dict[Channel, str], dict[Channel, str]] = ({}, {})

    def step(self) -> None:
        side = self.rng.randrange(2)
        if self.rng.random() < 0.5:
            self.deliver(side)
        else:
            self.act(side, self.rng.choice(self.NAMES))

    def act(self, side: int, name: Channel) -> None:
        state = self.views[side].get(name)
        if state == "open" and self.rng.random() < 0.6:
            self.send(side, Message(name, 0, b"x"))
        elif state is None or (state == "offered" and self.rng.random() < 0.7):
            self.views[side][name] = "asked" if state is None else "open"
            self.send(side, Open(name))
        else:
            del self.views[side][name]
            self.send(side, Close(name))

    def send(self, side: int, *commands: Command) -> None:
        self.ways[1 - side].extend(self.sides[side].send(*commands))
        self.listen(side)

    def deliver(self, side: int) -> None:
        if self.ways[side]:
            self.sides[side].receive(self.ways[side].popleft())
            self.listen(side)

    def listen(self, side: int) -> None:
        while (event := self.sides[side].next_event()) is not None:
            self.note(self.views[side], event)
        self.ways[1 - side].extend(self.sides[side].due())

    def note(self, view: dict[Channel, str], event: Event) -> None:
        if isinstance(event, Offered):
            assert event.channel not in view
            view[event.channel] = "offered"
        elif isinstance(event, Opened):
            assert view[event.channel] in ("asked", "open")
            view[event.channel] = "open"
        elif isinstance(event, Closed):
            del view[event.channel]
        else:
            assert view[event.channel] == "open"

    def numbers_lost(self, side: int) -> int:
        """Of the numbers that this side ever used: those neither in use nor free again."""
        channels = self.sides[side]
        return channels._numbers - len(channels._free) - len(channels._pairs)

    def settle(self) -> None:
        """Everything arrives, and everybody agrees to what is offered."""
        while any(self.ways) or "offered" in {*self.views[0].values(), *self.views[1].values()}:
            for side in (0, 1):
                self.deliver(side)
                for name in [name for name, state in self.views[side].items() if state == "offered"]:
                    self.act(side, name)


@given(st.lists(st.binary(max_size=80), max_size=12))
def test_no_frame_causes_another_error_than_the_peers(frames: list[bytes]) -> None:
    channels, _ = opened(FEED)
    try:
        for frame in frames:
            told(channels, [frame])
    except RemoteProtocolError:
        assert channels.due() == []


@given(st.integers(0, 400), st.integers(1, 255))
def test_a_flipped_byte_in_a_batch_causes_no_other_error_than_the_peers(place: int, change: int) -> None:
    one, other = opened(FEED, OTHER)
    (frame,) = one.send(*(Message(channel, 3, bytes(20)) for channel in (FEED, OTHER) for _ in range(5)), Close(FEED))
    changed = bytearray(frame)
    changed[place % len(frame)] ^= change
    try:
        told(other, [bytes(changed)])
    except RemoteProtocolError:
        assert other.due() == []


# --- the whole wire ---


@pytest.mark.parametrize("size", WAYS)
def test_a_conversation_is_the_same_however_the_bytes_come(size: int) -> None:
    one, other = wires()
    (secured,), _ = settle(one, other, size)
    assert isinstance(secured, Secured)
    assert hear(other, one.send(Open(FEED, b"a"), Open(OTHER)), size) == [Offered(FEED, b"a"), Offered(OTHER, b"")]
    answers = other.send(Open(FEED, b"b"), Message(FEED, 8, b"first"), Close(OTHER))
    expected = [Opened(FEED, b"b"), Message(FEED, 8, b"first"), Closed(OTHER, refused=True)]
    assert hear(one, answers, size) == expected
    assert hear(one, other.send(KeepAlive()), size) == []
    assert ended(one) == Ended()


def test_a_keep_alive_is_the_shortest_frame_and_goes_with_others_for_nothing() -> None:
    one, other = connected_wires()
    assert len(one.send(KeepAlive())) == 20
    assert len(one.send(KeepAlive(), Open(FEED))) == 20 + len(open_frame(1, id=FEED.id or b""))
    assert other.send() == b""


def test_nothing_can_be_asked_before_the_peer_has_proved_itself() -> None:
    one, other = wires()
    with pytest.raises(WrongState):
        one.send(Open(FEED))
    settle(one, other)
    assert hear(other, one.send(Open(FEED))) == [Offered(FEED, b"")]


def test_a_frame_that_makes_no_sense_closes_the_wire() -> None:
    one, other = connected_wires()
    assert isinstance(refused(other, one._stream.send(b"\0")), Malformed)
    with pytest.raises(WrongState):
        other.send(Open(FEED))


def test_a_wire_refused_by_its_caller_says_and_hears_nothing_more() -> None:
    one, other = connected_wires()
    error = OverLimit("patience", 0)
    other.receive_data(one.send(Open(FEED)))
    other.refuse(error)
    with pytest.raises(OverLimit):
        other.next_event()
    assert other.data_to_send() == b""


def test_a_wire_cut_inside_a_frame_says_so() -> None:
    one, other = connected_wires()
    assert hear(other, one.send(Open(FEED))[:-1]) == []
    with pytest.raises(StreamCut):
        ended(other)


def test_declining_is_answered_without_being_asked() -> None:
    one, other = connected_wires()
    hear(other, one.send(Open(FEED)))
    hear(one, other.send(Open(FEED)))
    assert hear(other, one._stream.send(open_frame(2, id=FEED.id or b""))) == [Opened(FEED, b"")]
    assert len(other.data_to_send()) == 20 + 3


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_sealed_nonsense_causes_no_other_error_than_the_peers(frames: list[bytes]) -> None:
    one, other = connected_wires()
    try:
        hear(other, one._stream.send(*frames))
    except RemoteProtocolError:
        assert other.data_to_send() == b""


def test_the_same_frames_in_the_same_order_give_the_same_bytes() -> None:
    sent = [connected_wires()[0].send(Open(FEED), Open(OTHER)) for _ in range(2)]
    assert sent[0] == sent[1]
