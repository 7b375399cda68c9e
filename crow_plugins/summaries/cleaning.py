"""What another instance says of itself, made fit to be kept and shown: of the right shape, small, and plain text.

Names in it are read by people and by assistants, so nothing in them may pass for markup, hide, or turn the text
around. There is no network, no clock and no database in this file.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

NAME_MAX = 80  # characters
REASON_MAX = 300  # characters
ITEMS_MAX = 500  # of one list or object
DEPTH_MAX = 4
VALUE_BYTES_MAX = 64 * 1024

TAG = re.compile(r"<[^<>]*>")
LINK = re.compile(r"!?\[([^\[\]]*)\]\([^()]*\)")
LEFT_OVER = str.maketrans("", "", "<>`")
HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn"}  # control, bidi and zero-width, and what is no character
BREAKS = {"Zl", "Zp", "Zs"}


class BadSummary(Exception):
    """A value that is not what its kind says, or too large."""


def cleaned(value: object, shape: object = None) -> Any:
    """The value as it may be kept. Raises `BadSummary`."""
    _check_size(value)
    if shape is not None:
        try:
            value = TypeAdapter(cast(Any, shape)).validate_python(value, strict=True)
        except ValidationError as error:
            raise BadSummary("it is not of the shape of its kind") from error
    return _plain(value, DEPTH_MAX)


def one_line(text: str, characters_max: int = NAME_MAX) -> str:
    """Plain text of so many characters at most: no markup, no control or bidi characters, no line breaks."""
    spaced = "".join(" " if unicodedata.category(each) in BREAKS or each in "\t\n\r\v\f\x85" else each for each in text)
    seen = "".join(each for each in spaced if unicodedata.category(each) not in HIDDEN)
    bare = TAG.sub("", LINK.sub(r"\1", seen)).translate(LEFT_OVER)
    return " ".join(bare.split())[:characters_max].rstrip()


def _check_size(value: object) -> None:
    try:
        spelled = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadSummary("it is not JSON") from error
    if len(spelled.encode("utf-8", "replace")) > VALUE_BYTES_MAX:
        raise BadSummary(f"it is larger than {VALUE_BYTES_MAX // 1024} KiB")


def _plain(value: object, depth: int) -> object:
    if isinstance(value, str):
        return one_line(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0:
        raise BadSummary("it is nested too deeply")
    if isinstance(value, list) and len(value) <= ITEMS_MAX:
        return [_plain(each, depth - 1) for each in value]
    if isinstance(value, dict) and len(value) <= ITEMS_MAX:
        return {one_line(str(key)): _plain(each, depth - 1) for key, each in value.items()}
    raise BadSummary(f"it has more than {ITEMS_MAX} items")
