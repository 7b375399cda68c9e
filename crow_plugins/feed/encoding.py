"""Compact encoding: how numbers, bytes and lists lie on the wire and in a manifest.

Writing is a function a kind, each giving bytes to join. Reading is a `Reader`, which never looks past the end, makes
no list before it has counted what is there, and raises `Malformed` or `OverLimit` only. Numbers are written in their
shortest form; longer forms are read, because npm reads them. What a message means is no matter of this file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import TypeVar

from crow_plugins.feed.errors import Malformed, OverLimit, Unencodable
from crow_plugins.feed.limits import UINT_MAX

Item = TypeVar("Item")

_U8 = tuple(bytes([number]) for number in range(0xFD))
_U16, _U32, _U64 = struct.Struct("<BH"), struct.Struct("<BI"), struct.Struct("<BQ")
_WIDTHS = {0xFD: 2, 0xFE: 4, 0xFF: 8}


def uint(number: int) -> bytes:
    """1, 3, 5 or 9 bytes. Raises `Unencodable` outside 0 to 2^53-1."""
    if 0 <= number <= 0xFC:
        return _U8[number]
    if 0 < number <= 0xFFFF:
        return _U16.pack(0xFD, number)
    if 0 < number <= 0xFFFFFFFF:
        return _U32.pack(0xFE, number)
    if 0 < number <= UINT_MAX:
        return _U64.pack(0xFF, number)
    raise Unencodable("number", f"from 0 to {UINT_MAX}")


def flags(*values: bool) -> int:
    """Claims as bits, the first one lowest."""
    return sum(1 << place for place, value in enumerate(values) if value)


def fixed32(value: bytes) -> bytes:
    """Exactly 32 bytes, as they are."""
    return _fixed(value, 32)


def fixed64(value: bytes) -> bytes:
    """Exactly 64 bytes, as they are."""
    return _fixed(value, 64)


def buffer(value: bytes | None) -> bytes:
    """Bytes behind their length; nothing at all is written as no bytes."""
    return uint(len(value)) + value if value else b"\x00"


def string(value: str) -> bytes:
    """UTF-8 behind its length in bytes. Raises `Unencodable` for half a surrogate pair."""
    try:
        return buffer(value.encode())
    except UnicodeEncodeError as error:
        raise Unencodable("text", "whole characters") from error


def array(items: Iterable[bytes]) -> bytes:
    """Things already encoded, behind their count."""
    listed = list(items)
    return uint(len(listed)) + b"".join(listed)


def bits(value: bytes) -> bytes:
    """A bitfield in words of 32 bits, bit `n` being bit `n % 8` of byte `n // 8`, behind the number of words."""
    words = -(-len(value) // 4)
    return uint(words) + value.ljust(4 * words, b"\x00")


def _fixed(value: bytes, size: int) -> bytes:
    if len(value) != size:
        raise Unencodable("value", f"{size} bytes long")
    return value


class Reader:
    """Reads one thing after another from bytes that a peer sent. Every method raises `Malformed` at their end."""

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int = 0, end: int | None = None) -> None:
        self.data = data
        self.position = position
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """Bytes that were not read yet: a newer peer may send fields that we do not know."""
        return self.end - self.position

    def uint(self, limit: int = UINT_MAX, what: str = "a number") -> int:
        """0 to `limit`. Raises `OverLimit` above it."""
        position = self.position
        if position >= self.end:
            raise Malformed("they end too early")
        number = self.data[position]
        self.position = position + 1
        if number > 0xFC:
            number = int.from_bytes(self.take(_WIDTHS[number]), "little")
        if number > limit:
            raise OverLimit(what, limit)
        return number

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        start, stop = self.position, self.position + size
        if stop > self.end:
            raise Malformed("they end too early")
        self.position = stop
        return self.data[start:stop]

    def fixed32(self) -> bytes:
        return self.take(32)

    def fixed64(self) -> bytes:
        return self.take(64)

    def buffer(self, limit: int, what: str) -> bytes:
        """Bytes behind their length, at most `limit`."""
        return self.take(self.uint(limit, what))

    def optional_buffer(self, limit: int, what: str) -> bytes | None:
        """The same, where no bytes mean nothing at all."""
        return self.buffer(limit, what) or None

    def string(self, limit: int, what: str) -> str:
        """Text of at most `limit` bytes of UTF-8."""
        try:
            return self.buffer(limit, what).decode()
        except UnicodeDecodeError as error:
            raise Malformed("a text is not UTF-8") from error

    def raw(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def array(self, read: Callable[[], Item], limit: int, what: str) -> list[Item]:
        """As many things as the count says, at most `limit`; `read` is another method, or built of them."""
        count = self.uint(limit, what)
        if count > self.left:  # nothing on the wire is shorter than a byte
            raise Malformed("they end too early")
        return [read() for _ in range(count)]

    def bits(self, words_max: int, what: str) -> bytes:
        """A bitfield: four bytes a word, bit `n` being bit `n % 8` of byte `n // 8`."""
        return self.take(4 * self.uint(words_max, what))

    def finish(self) -> None:
        """Refuse what follows: for things whose bytes are hashed or signed."""
        if self.left:
            raise Malformed("something follows that does not belong there")
