"""One setting as a value, and what a key and a value may be. No database here."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from crow_hooks import Column, Data, Invalid, SyncedTable

Scope = Literal["shared", "local"]

KEY_PATTERN = r"[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*"
KEY_MAX = 128
VALUE_BYTES_MAX = 16 * 1024
VALUE_DEPTH_MAX = 15  # inside the list that it travels in
INTEGER_MAX = 2**53 - 1

SYNCED = SyncedTable(
    name="settings",
    columns=(
        Column("key", bytes_max=KEY_MAX),
        Column("value", "json", bytes_max=VALUE_BYTES_MAX + 2),
        Column("updated_at", "integer", bookkeeping=True),
    ),
    change_types=("setting_update", "setting_delete"),
    natural_key="key",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of one scope; `in_force` is what holds on this machine.

    `origin_instance` wrote this very value. A local setting has no `lamport_ts`: it takes no part in sync.
    """

    key: str
    value: object
    scope: Scope
    in_force: bool
    origin_instance: str
    updated_at: int
    lamport_ts: int | None


def checked_key(key: object) -> str:
    """Raises `Invalid` for what is not words of small letters, digits, - and _, joined by dots."""
    if not isinstance(key, str) or len(key) > KEY_MAX or not re.fullmatch(KEY_PATTERN, key):
        raise Invalid(
            f"a key is words of small letters, digits, - and _ joined by dots, up to {KEY_MAX} characters, "
            "like editor.font_size"
        )
    return key


def stored(value: object) -> str:
    """A value as its column holds it; raises `Invalid` for what is no JSON, too deep or too long."""
    if value is None:
        raise Invalid("null is no value; it deletes a setting")
    _refuse_what_json_cannot_hold(value, 1)
    text = json.dumps([value], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if len(text.encode("utf-8", "surrogatepass")) > VALUE_BYTES_MAX + 2:
        raise Invalid(f"the value is longer than {VALUE_BYTES_MAX // 1024} KiB as JSON; shorten it")
    if re.search("[\ud800-\udfff]", text) or "\\u0000" in text.replace("\\\\", ""):
        raise Invalid("the value holds a NUL or half a character; remove it and try again")
    return text


def value_of(text: str) -> object:
    """The value in a column; raises `Invalid` where there is not exactly one."""
    return only_item(json.loads(text))


def only_item(items: object) -> object:
    if not isinstance(items, list) or len(items) != 1 or items[0] is None:
        raise Invalid("value must be a list with the setting's value as its one item, like [12]; null is none")
    return items[0]


def check_row(data: Data) -> None:
    """Whether a row that was written, here or elsewhere, is a setting; raises `Invalid`."""
    checked_key(data.get("key"))
    stored(only_item(data.get("value")))


def _refuse_what_json_cannot_hold(value: object, depth: int) -> None:
    if isinstance(value, Mapping | list) and depth > VALUE_DEPTH_MAX:
        raise Invalid(f"the value is nested deeper than {VALUE_DEPTH_MAX} levels; flatten it")
    if isinstance(value, float) and not math.isfinite(value):
        raise Invalid("the value holds a number that JSON has no way to write; use null or a text for it")
    if isinstance(value, int) and abs(value) > INTEGER_MAX:
        raise Invalid(
            "the value holds a whole number beyond 2^53 - 1, which not every reader keeps; write it as a text"
        )
    for inner in _inside(value):
        _refuse_what_json_cannot_hold(inner, depth + 1)


def _inside(value: object) -> Sequence[object]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else []
