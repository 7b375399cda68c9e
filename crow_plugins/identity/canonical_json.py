"""The one spelling of a JSON value: what two machines must agree on byte for byte before they sign it.

Keys sorted by code point, no spaces, UTF-8, nothing escaped that need not be. Values that other languages
read differently have no spelling here: floats, integers beyond 2^53 - 1, lone surrogates. Parsing is as strict:
a repeated key is refused, since two readers would each believe another of its values.
"""

from __future__ import annotations

import json
from typing import NoReturn

from crow_plugins.identity.errors import BadJson

INTEGER_MAX = (1 << 53) - 1  # the last integer that a JSON number names exactly everywhere
DEPTH_MAX = 16
SIZE_MAX = 1 << 20


def encode(value: object) -> bytes:
    """The canonical bytes of None, booleans, integers, strings, lists and dictionaries. Raises `BadJson`."""
    _check(value, DEPTH_MAX)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True).encode()


def parse(data: bytes, size_max: int = SIZE_MAX) -> object:
    """The value of JSON bytes in any layout, held to the same rules. Raises `BadJson`."""
    if len(data) > size_max:
        raise BadJson(f"it has more than {size_max} bytes")
    try:
        value: object = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_refuse_number,
            parse_constant=_refuse_number,
        )
    except UnicodeDecodeError as error:
        raise BadJson("it is not UTF-8") from error
    except (json.JSONDecodeError, RecursionError) as error:
        raise BadJson("it is not well formed") from error
    _check(value, DEPTH_MAX)
    return value


def parse_canonical(data: bytes, size_max: int = SIZE_MAX) -> object:
    """The value of canonical bytes; any other spelling of the same value is refused. Raises `BadJson`."""
    value = parse(data, size_max)
    if encode(value) != data:
        raise BadJson("it is another spelling of its value")
    return value


def _check(value: object, depth: int) -> None:
    if depth == 0:
        raise BadJson(f"it is nested deeper than {DEPTH_MAX}")
    match value:
        case None | bool():
            return
        case int():
            _check_integer(value)
        case str():
            _check_text(value)
        case list() | tuple():
            for item in value:
                _check(item, depth - 1)
        case dict():
            _check_object(value, depth)
        case _:
            raise BadJson(f"a {type(value).__name__} has no form in it")


def _check_object(value: dict[object, object], depth: int) -> None:
    for key, item in value.items():
        if not isinstance(key, str):
            raise BadJson("a key is not a string")
        _check_text(key)
        _check(item, depth - 1)


def _check_integer(value: int) -> None:
    if abs(value) > INTEGER_MAX:
        raise BadJson("an integer is beyond 2^53 - 1")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadJson("a string holds half a surrogate pair") from error


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("a key stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > len(f"-{INTEGER_MAX}"):  # a long number takes long to read
        raise BadJson("an integer is beyond 2^53 - 1")
    return int(digits)


def _refuse_number(text: str) -> NoReturn:
    raise BadJson("it holds a number that is not an integer")
