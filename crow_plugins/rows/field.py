"""One thing that a person says of a row: how it travels, how it is cleaned, and what it is when nobody says.

What is refused here is refused with one sentence that names the field. Rows of other instances are held to the
column alone, so `read` takes whatever that lets through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from crow_hooks import Column, Invalid

REQUIRED: Final = object()  # a field without a default
TAG_MAX, TAGS_MAX = 64, 32
HALF = re.compile("[\ud800-\udfff]")  # of a character beyond the first 65,536, which nobody can store

Clean = Callable[[object], object]


def as_it_is(value: object) -> object:
    return value


@dataclass(frozen=True, slots=True)
class Field:
    """A column that a person fills. `clean` takes what was given to what is stored, or raises `Invalid`.

    `read` takes what a row has to what is shown of it.
    """

    column: Column
    clean: Clean
    default: object = None
    read: Callable[[object], object] = as_it_is

    @property
    def name(self) -> str:
        return self.column.name

    def unsaid(self) -> object:
        """What it is when nobody says, as it is stored."""
        return list(self.default) if isinstance(self.default, tuple) else self.default


def text(
    name: str,
    *,
    bytes_max: int,
    characters_max: int | None = None,
    default: object = None,
    pattern: tuple[str, str] | None = None,
    strip: bool = False,
) -> Field:
    """Text. With `default=REQUIRED`, or any default but None, it must not be empty; else empty clears it.

    `pattern` is a regular expression that must match all of it, and what to say of text that does not.
    """
    nullable = default is None

    def clean(value: object) -> object:
        if value is None or (isinstance(value, str) and not value.strip()):
            if nullable:
                return None
            raise Invalid(f"{name} must not be empty; give it some text")
        if not isinstance(value, str):
            raise Invalid(f"{name} must be text")
        cleaned = value.strip() if strip or pattern else value
        refuse_unstorable(name, cleaned)
        refuse_long(name, cleaned, bytes_max, characters_max)
        if pattern and not re.fullmatch(pattern[0], cleaned):
            raise Invalid(f"{name} {pattern[1]}")
        return cleaned

    return Field(Column(name, bytes_max=bytes_max, nullable=nullable), clean, default)


def reference(name: str) -> Field:
    """The id of another row, which may not be here (yet, or any more); empty clears it."""
    return text(name, bytes_max=64, characters_max=64, strip=True)


def choice(name: str, values: Sequence[str], default: object = REQUIRED) -> Field:
    """One of a few words."""

    def clean(value: object) -> object:
        if value not in values:
            raise Invalid(f"{name} is one of {', '.join(values)}")
        return value

    return Field(Column(name, bytes_max=64), clean, default)


def whole(name: str, lowest: int, highest: int, default: object = REQUIRED) -> Field:
    """A whole number within bounds."""

    def clean(value: object) -> object:
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise Invalid(f"{name} is a whole number from {lowest} to {highest}")
        return value

    return Field(Column(name, "integer"), clean, default)


def texts(name: str, *, most: int, characters_max: int) -> Field:
    """A list of short texts, each once, in their order; empty ones are left out."""

    def clean(value: object) -> object:
        if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
            raise Invalid(f"{name} must be a list of texts")
        cleaned = list(dict.fromkeys(each.strip() for each in value if each.strip()))
        if len(cleaned) > most or any(len(each) > characters_max for each in cleaned):
            raise Invalid(f"{name} holds up to {most} texts of up to {characters_max} characters; shorten them")
        for each in cleaned:
            refuse_unstorable(name, each)
        return cleaned

    return Field(Column(name, "json", bytes_max=most * characters_max * 4 + 256), clean, (), _texts_of)


def tags() -> Field:
    """Words to find a row by."""
    return texts("tags", most=TAGS_MAX, characters_max=TAG_MAX)


def _texts_of(value: object) -> tuple[str, ...]:
    """Another instance may have stored any JSON; what is no text is not shown."""
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def refuse_unstorable(name: str, value: str) -> None:
    if "\0" in value or (not value.isascii() and HALF.search(value)):
        raise Invalid(f"{name} holds a NUL or half a character; remove it and try again")


def refuse_long(name: str, value: str, bytes_max: int, characters_max: int | None) -> None:
    if characters_max is not None and len(value) > characters_max:
        raise Invalid(f"{name} is longer than {characters_max} characters; shorten it")
    if len(value.encode()) > bytes_max:
        size = f"{bytes_max // 1024} KiB" if bytes_max % 1024 == 0 else f"{bytes_max} bytes"
        raise Invalid(f"{name} is longer than {size}; shorten it or split it into several")


def encoded(values: Mapping[str, object]) -> list[object]:
    """Values as SQLite stores them: lists and objects as JSON."""
    return [
        json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        if isinstance(value, list | tuple | dict)
        else value
        for value in values.values()
    ]
