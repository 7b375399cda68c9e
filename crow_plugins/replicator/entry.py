"""An entry as it stands in a block of a feed: the bytes of one change, and what may be read out of such bytes.

    {"type":"memory_insert","table":"memories","row_id":"…","data":{…},"lamport":42,"instance_id":"…",
     "timestamp":1711000000,"v":1,"epoch":"9f3a01c2d4e5","vv":{"<writer>":<lamport>,…},
     "open":[["<writer>",<lamport>],…],"by":"assistant"}

`open` is left out where it is empty. Bytes are made once and never again: what was written is what is stored, sent and
read. An entry whose feed was cut away is *rescued* into another instance's feed, as the text it was:

    {"type":"rescued","entry":"{\\"type\\":…}","instance_id":"…","timestamp":1711000000,"v":1}

An instance that knows of two branches of another one's feed shows the signed heads of both, as peers prove them to one
another; such a block is no entry:

    {"type":"two_branches","of":"<uuid>","heads":["<base64>","<base64>"],"instance_id":"…","timestamp":1711000000,"v":1}

Everything that reading refuses was signed by its writer all the same, so nothing is thrown away: whoever reads parks
it, under the `reason` that the error carries. Which tables there are is not known here.

    Unreadable
    ├── Malformed        no writer of ours makes such bytes
    ├── NoEntry          it shows two branches of a feed
    └── NewerFormat      a newer release wrote it
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

from pydantic_core import from_json, to_json

from crow_hooks import Change, CrowError, Data, Entry, Invalid, Version
from crow_plugins.limits import DEPTH_MAX, ENTRY_BYTES_MAX, KEYS_MAX, OPEN_MAX, RESCUED_BYTES_MAX

FORMAT = 1
RESCUED = "rescued"
TWO_BRANCHES = "two_branches"

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}", re.ASCII)
ROW_ID = re.compile(r"[!-~]{1,128}", re.ASCII)
INSTANCE_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
EPOCH = re.compile(r"[0-9a-f]{12}", re.ASCII)
WRITER = re.compile(rf"{INSTANCE_ID.pattern}\.{EPOCH.pattern}", re.ASCII)
BY = re.compile(r"[a-z][a-z0-9_.-]{0,31}", re.ASCII)

REQUIRED = frozenset(
    ("type", "table", "row_id", "data", "lamport", "instance_id", "timestamp", "v", "epoch", "vv", "by")
)
OPTIONAL = frozenset(("open",))
REPEATED = ("type", "table", "instance_id", "epoch", "by")
RESCUED_KEYS = frozenset(("type", "entry", "instance_id", "timestamp", "v"))
TWO_BRANCHES_KEYS = frozenset(("type", "of", "heads", "instance_id", "timestamp", "v"))

_NESTED = (dict, list)


class Unreadable(CrowError):
    """A block that cannot be applied as it stands; `reason` says why, in one word."""

    code = "unreadable_entry"
    reason = "malformed"


class Malformed(Unreadable):
    """Bytes that no writer of ours makes."""

    code = "malformed_entry"

    def __init__(self, what: str) -> None:
        super().__init__(f"an entry is malformed ({what}); it is kept, and left out: see `crow doctor` on its machine")


class NewerFormat(Unreadable):
    """An entry of a format that a newer release writes."""

    code = "newer_entry"
    reason = "newer_format"

    def __init__(self) -> None:
        super().__init__("an entry was written by a newer release; upgrade crow-plugins on this machine to read it")


class NoEntry(Unreadable):
    """A block that changes no row: it shows two branches of a feed."""

    code = "no_entry"

    def __init__(self) -> None:
        super().__init__("a block is no entry: it shows two branches of a feed")


class EntryTooLarge(Invalid):
    """A row with all that is known of it does not fit one entry."""

    code = "entry_too_large"

    def __init__(self, table: str, row_id: str) -> None:
        super().__init__(
            f"row {row_id} of {table} with its history needs more than {ENTRY_BYTES_MAX // 1024} KiB in the feed; "
            "shorten it, or store it as a new row"
        )


@dataclass(slots=True)
class Read:
    """What a block says: the entry, its own bytes, and which instance rescued it, if one did.

    `fits`: it was held against what its table declares, and broke no rule.
    """

    entry: Entry
    original: bytes
    rescued_by: str | None = None
    fits: bool = False


@dataclass(frozen=True, slots=True)
class Heads:
    """Two signed heads of an instance's feed, each as the proof from nothing that peers send one another.

    `shown_by` is the instance in whose feed they stand.
    """

    instance_id: str
    one: bytes
    other: bytes
    shown_by: str | None = None


Block = Read | Heads | Unreadable


def written(change: Change) -> bytes:
    """The bytes of a local write. Raises `EntryTooLarge`."""
    instance_id, epoch = change.version.writer.split(".")
    fields: dict[str, object] = {
        "type": change.type,
        "table": change.table,
        "row_id": change.row_id,
        "data": change.data,
        "lamport": change.version.lamport,
        "instance_id": instance_id,
        "timestamp": change.timestamp,
        "v": FORMAT,
        "epoch": epoch,
        "vv": change.vv,
    }
    if change.open:
        fields["open"] = [[version.writer, version.lamport] for version in change.open]
    fields["by"] = change.by
    block = to_json(fields)
    if len(block) > ENTRY_BYTES_MAX:
        raise EntryTooLarge(change.table, change.row_id)
    return block


def rescued(original: bytes, instance_id: str, now: int) -> bytes:
    """The block in which an instance keeps an entry that is in no feed any more."""
    fields = {"type": RESCUED, "entry": original.decode(), "instance_id": instance_id, "timestamp": now, "v": FORMAT}
    return to_json(fields)


def shown(heads: Heads, instance_id: str, now: int) -> bytes:
    """The block in which an instance shows two branches of another one's feed."""
    both = [base64.b64encode(head).decode() for head in (heads.one, heads.other)]
    fields = {"type": TWO_BRANCHES, "of": heads.instance_id, "heads": both, "instance_id": instance_id}
    return to_json({**fields, "timestamp": now, "v": FORMAT})


def read_all(blocks: Iterable[bytes]) -> list[Block]:
    """What each block says, or why it cannot be read."""
    return [_read_or_not(block) for block in blocks]


def _read_or_not(block: bytes) -> Block:
    try:
        return read(block)
    except NoEntry:
        return _heads_or_not(block)
    except Unreadable as why:
        return why


def _heads_or_not(block: bytes) -> Heads | Unreadable:
    try:
        fields = _object(block, ENTRY_BYTES_MAX)
        if fields.keys() != TWO_BRANCHES_KEYS:
            raise Malformed("what shows two branches has other fields")
        _integer(fields["timestamp"], "timestamp")
        of, by = _matching(fields, "of", INSTANCE_ID), _matching(fields, "instance_id", INSTANCE_ID)
        match fields["heads"]:
            case [str(one), str(other)]:
                return Heads(of, _from_base64(one), _from_base64(other), by)
        raise Malformed("there are no two heads")
    except Malformed as why:
        return why


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Malformed("a head is not in base64") from error


def read(block: bytes) -> Read:
    """The entry of a block. Raises an `Unreadable`; who may have written it is the caller's to check."""
    fields = _object(block, RESCUED_BYTES_MAX)
    if fields.get("type") == TWO_BRANCHES:
        raise NoEntry
    if fields.get("type") != RESCUED:
        if len(block) > ENTRY_BYTES_MAX:
            raise Malformed("it is too long")
        return Read(_entry(fields), block)
    if fields.keys() != RESCUED_KEYS or not isinstance(fields["entry"], str):
        raise Malformed("a rescued entry has other fields")
    original = _encoded(fields["entry"])
    return Read(_entry(_object(original, ENTRY_BYTES_MAX)), original, _matching(fields, "instance_id", INSTANCE_ID))


def _object(data: bytes, bytes_max: int) -> dict[str, Any]:
    """A JSON object without anything that two readers could read in two ways."""
    if len(data) > bytes_max:
        raise Malformed("it is too long")
    try:
        value = _decoded(data)
    except (ValueError, RecursionError) as error:
        raise Malformed("it is no strict JSON") from error
    if not isinstance(value, dict):
        raise Malformed("it is no object")
    if type(value.get("v")) is int and value["v"] > FORMAT:
        raise NewerFormat
    return value


def _entry(fields: Mapping[str, Any]) -> Entry:
    if fields.keys() - OPTIONAL != REQUIRED or fields["v"] != FORMAT or fields["v"] is True:
        raise Malformed("a field is missing or unknown")
    try:
        names = _names(*[fields[name] for name in REPEATED])
    except TypeError as error:  # a list or an object is no name, and nothing that can be looked up
        raise Malformed("a name is no text") from error
    return Entry(
        type=names.type,
        table=names.table,
        row_id=_matching(fields, "row_id", ROW_ID),
        data=_data(fields["data"]),
        version=Version(names.writer, _integer(fields["lamport"], "lamport")),
        vv=_vector(fields["vv"]),
        open=_open(fields.get("open")),
        timestamp=_integer(fields["timestamp"], "timestamp"),
        instance_id=names.instance_id,
        deleted=names.deleted,
        by=names.by,
    )


@dataclass(frozen=True, slots=True)
class _Names:
    """What entries that follow each other have in common, most often: looked at once for all of them."""

    type: str
    table: str
    instance_id: str
    writer: str
    deleted: bool
    by: str


@lru_cache(maxsize=256)  # of those that are as they must be, and so are short
def _names(*values: object) -> _Names:
    fields = dict(zip(REPEATED, values, strict=True))
    instance_id, epoch = _matching(fields, "instance_id", INSTANCE_ID), _matching(fields, "epoch", EPOCH)
    type = _matching(fields, "type", NAME)
    return _Names(
        type=type,
        table=_matching(fields, "table", NAME),
        instance_id=instance_id,
        writer=f"{instance_id}.{epoch}",
        deleted=type.endswith("_delete"),
        by=_matching(fields, "by", BY),
    )


def _data(value: object) -> Data:
    if not isinstance(value, dict):
        raise Malformed("data is no object")
    _check_size(value, DEPTH_MAX)
    return value


def _check_size(value: object, depth: int) -> None:
    """Refuse what is nested too deep or has too many keys; called for objects and lists alone, since most values are
    neither.
    """
    if depth == 0:
        raise Malformed(f"data is nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, dict):
        if len(value) > KEYS_MAX:
            raise Malformed(f"an object in data has more than {KEYS_MAX} keys")
        value = value.values()
    assert isinstance(value, Iterable)
    for inner in value:
        if isinstance(inner, _NESTED):
            _check_size(inner, depth - 1)


def _vector(value: object) -> dict[str, int]:
    if not isinstance(value, dict):
        raise Malformed("vv is no object")
    for writer, lamport in value.items():
        if not WRITER.fullmatch(writer) or type(lamport) is not int:
            raise Malformed("vv is not writers with their lamports")
    return value


def _open(value: object) -> tuple[Version, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 0 < len(value) <= OPEN_MAX:
        raise Malformed("open is no list of versions")
    return tuple(_version(each) for each in value)


def _version(value: object) -> Version:
    match value:
        case [str(writer), int(lamport)] if WRITER.fullmatch(writer) and type(lamport) is int:
            return Version(writer, lamport)
    raise Malformed("open is no list of versions")


def _matching(fields: Mapping[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = fields[name]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Malformed(f"{name} is not as it must be")
    return value


def _integer(value: object, name: str) -> int:
    if type(value) is not int:
        raise Malformed(f"{name} is no integer")
    return value


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Malformed("a rescued entry is not valid Unicode") from error


def _decoded(data: bytes) -> object:
    """Strict JSON. Raises `ValueError`, `RecursionError`.

    What is read and written again byte for byte says each thing once: so it is with all that our own writers make,
    and takes a third of the time. Whatever else there is, is looked at pair by pair.
    """
    try:
        value = from_json(data, allow_inf_nan=False)
        is_plain = to_json(value) == data
    except ValueError:
        is_plain = False
    return value if is_plain else _STRICT.decode(data.decode())


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a key stands twice")
    return fields


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


# Made once: json.loads with options of its own would make a decoder a call.
_STRICT = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_number)
