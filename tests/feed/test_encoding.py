"""Compact encoding: the bytes that npm writes, read again; and nothing but the two kinds of blame for anything else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crow_plugins.feed import encoding
from crow_plugins.feed.encoding import Reader
from crow_plugins.feed.errors import Malformed, OverLimit, RemoteProtocolError, Unencodable
from crow_plugins.feed.limits import UINT_MAX

UINTS = {
    0: "00",
    252: "fc",
    253: "fdfd00",
    65535: "fdffff",
    65536: "fe00000100",
    2**32 - 1: "feffffffff",
    2**32: "ff0000000001000000",
    UINT_MAX: "ffffffffffffff1f00",
}


@pytest.mark.parametrize(("number", "written"), UINTS.items())
def test_numbers_are_written_in_their_shortest_form(number: int, written: str) -> None:
    assert encoding.uint(number).hex() == written
    assert Reader(bytes.fromhex(written)).uint() == number


@pytest.mark.parametrize("number", [-1, UINT_MAX + 1, 2**64])
def test_numbers_that_no_peer_can_read_are_not_written(number: int) -> None:
    with pytest.raises(Unencodable):
        encoding.uint(number)


def test_longer_forms_of_a_number_are_read_too() -> None:
    assert [Reader(bytes.fromhex(data)).uint() for data in ("fd0100", "fe01000000", "ff0100000000000000")] == [1, 1, 1]


def test_a_number_above_what_npm_holds_is_refused() -> None:
    with pytest.raises(OverLimit):
        Reader(bytes.fromhex("ff00000000000020" + "00")).uint()


@given(st.integers(0, UINT_MAX))
def test_uints_return(number: int) -> None:
    assert Reader(encoding.uint(number)).uint() == number


@given(st.binary(max_size=300), st.text(max_size=99), st.lists(st.integers(0, 2**20), max_size=20))
def test_a_message_of_all_kinds_is_read_as_it_was_written(value: bytes, text: str, numbers: list[int]) -> None:
    written = b"".join(
        [
            encoding.buffer(value),
            encoding.string(text),
            encoding.array(map(encoding.uint, numbers)),
            encoding.bits(value),
            encoding.fixed32(b"\1" * 32),
            encoding.fixed64(b"\2" * 64),
            value,
        ]
    )
    reader = Reader(written)
    assert reader.buffer(300, "bytes") == value
    assert reader.string(400, "text") == text
    assert reader.array(reader.uint, 20, "numbers") == numbers
    assert reader.bits(99, "bits").rstrip(b"\0") == value.rstrip(b"\0")
    assert (reader.fixed32(), reader.fixed64()) == (b"\1" * 32, b"\2" * 64)
    assert reader.left == len(value)
    assert reader.raw() == value
    reader.finish()


def test_nothing_and_no_bytes_are_written_alike() -> None:
    assert encoding.buffer(None) == encoding.buffer(b"") == b"\0"
    assert Reader(b"\0").optional_buffer(9, "bytes") is None
    assert Reader(b"\0").buffer(9, "bytes") == b""


def test_flags_are_bits_the_first_one_lowest() -> None:
    assert encoding.flags(True, False, True, True) == 0b1101


def test_a_bitfield_fills_whole_words() -> None:
    assert encoding.bits(b"\x05").hex() == "0105000000"
    assert encoding.bits(b"").hex() == "00"


@pytest.mark.parametrize("size", [31, 33])
def test_fixed_bytes_of_another_size_are_not_written(size: int) -> None:
    with pytest.raises(Unencodable):
        encoding.fixed32(bytes(size))


def test_half_a_character_is_not_written() -> None:
    with pytest.raises(Unencodable):
        encoding.string("\ud800")


READS: dict[str, Callable[[Reader], object]] = {
    "uint": lambda reader: reader.uint(),
    "fixed32": lambda reader: reader.fixed32(),
    "fixed64": lambda reader: reader.fixed64(),
    "buffer": lambda reader: reader.buffer(64, "bytes"),
    "optional buffer": lambda reader: reader.optional_buffer(64, "bytes"),
    "string": lambda reader: reader.string(64, "text"),
    "array": lambda reader: reader.array(reader.uint, 16, "numbers"),
    "array of buffers": lambda reader: reader.array(lambda: reader.buffer(9, "bytes"), 16, "buffers"),
    "bits": lambda reader: reader.bits(8, "bits"),
    "finish": lambda reader: reader.finish(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused_as_the_peers_fault(read: Callable[[Reader], object], data: bytes) -> None:
    reader = Reader(data)
    try:
        read(reader)
    except RemoteProtocolError:
        return
    assert 0 <= reader.position <= len(data)


@pytest.mark.parametrize("read", list(READS.values())[:-1], ids=list(READS)[:-1])
def test_what_ends_too_early_is_malformed(read: Callable[[Reader], object]) -> None:
    with pytest.raises(Malformed):
        read(Reader(b""))


def test_a_reader_never_looks_past_its_own_end() -> None:
    with pytest.raises(Malformed):
        Reader(bytes(40), position=4, end=20).fixed32()


LIMITED: dict[str, tuple[Callable[[Reader], object], bytes, bytes]] = {
    "uint": (lambda reader: reader.uint(7), b"\x07", b"\x08"),
    "buffer": (lambda reader: reader.buffer(3, "bytes"), b"\3abc", b"\4abcd"),
    "string": (lambda reader: reader.string(3, "text"), b"\3abc", b"\4abcd"),
    "array": (lambda reader: reader.array(reader.uint, 2, "numbers"), b"\2\0\0", b"\3\0\0\0"),
    "bits": (lambda reader: reader.bits(1, "bits"), b"\1abcd", b"\2abcdefgh"),
}


@pytest.mark.parametrize(("read", "most", "more"), LIMITED.values(), ids=LIMITED)
def test_every_limit_holds_at_the_limit_and_one_past_it(
    read: Callable[[Reader], object], most: bytes, more: bytes
) -> None:
    read(Reader(most))
    with pytest.raises(OverLimit):
        read(Reader(more))


def test_a_count_beyond_the_bytes_makes_no_list() -> None:
    def never() -> int:
        raise AssertionError

    with pytest.raises(Malformed):
        Reader(b"\xfe\xff\xff\xff\x00").array(never, 2**30, "numbers")


def test_what_follows_a_hashed_thing_is_refused() -> None:
    with pytest.raises(Malformed):
        Reader(b"\0").finish()
