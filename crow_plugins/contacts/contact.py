"""One contact as a value, and what its fields may be. No database here.

The same check guards what is written here and what arrives: a list holds objects of exactly the known texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from crow_hooks import Column, Data, Invalid, SyncedTable

NAME_MAX, LINE_MAX, TAG_MAX = 256, 256, 64  # characters
EMAILS_MAX, PHONES_MAX, ADDRESSES_MAX, TAGS_MAX = 32, 32, 16, 32
NOTES_BYTES_MAX = 32 * 1024
LIST_BYTES_MAX = 32 * 1024

EMAIL, PHONE = ("address", "label"), ("number", "label")
ADDRESS = ("street", "city", "region", "postal_code", "country", "label")
LISTS: Mapping[str, tuple[tuple[str, ...], int]] = {
    "emails": (EMAIL, EMAILS_MAX),
    "phones": (PHONE, PHONES_MAX),
    "addresses": (ADDRESS, ADDRESSES_MAX),
}
LINES = ("organisation", "title")
FIELDS = ("name", "emails", "phones", "addresses", "organisation", "title", "birthday", "notes", "tags")
JSON = (*LISTS, "tags")
EMPTY: Data = {name: [] if name in JSON else None for name in FIELDS if name != "name"}

COLUMNS = ("id", *FIELDS, "origin_instance", "created_at", "updated_at", "lamport_ts")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM contacts"

SYNCED = SyncedTable(
    name="contacts",
    columns=(
        Column("name", bytes_max=NAME_MAX * 4),
        Column("emails", "json", bytes_max=LIST_BYTES_MAX),
        Column("phones", "json", bytes_max=LIST_BYTES_MAX),
        Column("addresses", "json", bytes_max=LIST_BYTES_MAX),
        Column("organisation", bytes_max=LINE_MAX * 4, nullable=True),
        Column("title", bytes_max=LINE_MAX * 4, nullable=True),
        Column("birthday", bytes_max=16, nullable=True),
        Column("notes", bytes_max=NOTES_BYTES_MAX, nullable=True),
        Column("tags", "json", bytes_max=TAGS_MAX * TAG_MAX * 4 + 256),
        Column("origin_instance", bytes_max=64),
        Column("created_at", "integer"),
        Column("updated_at", "integer", bookkeeping=True),
    ),
    change_types=("contact_update", "contact_delete"),
)


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact as it stands here; times in unix seconds, `birthday` as YYYY-MM-DD or --MM-DD."""

    id: str
    name: str
    emails: tuple[Mapping[str, str], ...]
    phones: tuple[Mapping[str, str], ...]
    addresses: tuple[Mapping[str, str], ...]
    organisation: str | None
    title: str | None
    birthday: str | None
    notes: str | None
    tags: tuple[str, ...]
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


def contact_of(row: Sequence[object]) -> Contact:
    values = dict(zip(COLUMNS, row, strict=True))
    lists = {name: tuple(json.loads(str(values[name]))) for name in JSON}
    return Contact(**{**values, **lists})  # type: ignore[arg-type]  # as declared


def encoded(row: Data) -> list[object]:
    """A row's values as its columns hold them."""
    return [
        json.dumps(value, ensure_ascii=False, separators=(",", ":")) if name in JSON else value
        for name, value in row.items()
    ]


def clean(fields: Data) -> dict[str, object]:
    """The fields as they are stored; raises `Invalid` with one sentence for the first that does not fit."""
    for name in fields.keys() - set(FIELDS):
        raise Invalid(f"a contact has no field {name}; it has {', '.join(FIELDS)}")
    return {name: CLEANED[name](name, value) for name, value in fields.items()}


def check_row(data: Data) -> None:
    """Whether a row that came from elsewhere is a contact just as it would be stored here; raises `Invalid`."""
    fields = {name: data[name] for name in FIELDS}
    for name, value in clean(fields).items():
        if value != fields[name]:
            raise Invalid(f"{name} of a contact is not as it is stored; write it anew where it comes from")


def _text(name: str, value: object, characters_max: int) -> str:
    if not isinstance(value, str):
        raise Invalid(f"{name} must be a text")
    if "\0" in value or re.search("[\ud800-\udfff]", value):
        raise Invalid(f"{name} holds a NUL or half a character; remove it and try again")
    text = value.strip()
    if len(text) > characters_max:
        raise Invalid(f"{name} is longer than {characters_max} characters; shorten it")
    return text


def _name(name: str, value: object) -> str:
    text = " ".join(_text(name, value, NAME_MAX).split())
    if not text:
        raise Invalid("name must not be empty; say who it is")
    return text


def _line(name: str, value: object) -> str | None:
    return None if value is None else " ".join(_text(name, value, LINE_MAX).split()) or None


def _notes(name: str, value: object) -> str | None:
    if value is None:
        return None
    text = _text(name, value, NOTES_BYTES_MAX)
    if len(text.encode()) > NOTES_BYTES_MAX:
        raise Invalid(f"notes are longer than {NOTES_BYTES_MAX // 1024} KiB; shorten them")
    return text or None


def _birthday(name: str, value: object) -> str | None:
    text = _line(name, value)
    if text is None:
        return None
    try:
        # The year 2000 had a 29th of February, so every day that there is has a place in it.
        if re.fullmatch(r"(\d{4}|-)-\d\d-\d\d", text, re.ASCII):
            date.fromisoformat(text.replace("--", "2000-", 1) if text.startswith("--") else text)
            return text
    except ValueError:
        pass
    raise Invalid("birthday is a day like 1985-04-12, or --04-12 where the year is not known")


def _tags(name: str, value: object) -> list[str]:
    items = [_text(name, tag, TAG_MAX) for tag in _list(name, value, TAGS_MAX)]
    return list(dict.fromkeys(tag for tag in items if tag))


def _objects(name: str, value: object) -> list[dict[str, str]]:
    texts, most = LISTS[name]
    objects = [_object(name, texts, item) for item in _list(name, value, most)]
    if len(json.dumps(objects, ensure_ascii=False, separators=(",", ":")).encode()) > LIST_BYTES_MAX:
        raise Invalid(f"{name} are longer than {LIST_BYTES_MAX // 1024} KiB in all; shorten them")
    return [each for number, each in enumerate(objects) if each not in objects[:number]]


def _object(name: str, texts: Sequence[str], item: object) -> dict[str, str]:
    if not isinstance(item, Mapping) or not set(item) <= set(texts):
        raise Invalid(f"each of {name} has {', '.join(texts)} and nothing else")
    given = {text: " ".join(_text(f"{text} of {name}", item.get(text) or "", LINE_MAX).split()) for text in texts}
    if not any(given[text] for text in texts if text != "label"):
        raise Invalid(f"one of {name} is empty; leave it out")
    return _known(name, given)


def _known(name: str, given: dict[str, str]) -> dict[str, str]:
    """An address of mail has a name, an @ and a host; a phone number has a digit. Raises `Invalid`."""
    if name == "emails" and not re.fullmatch(r"[^@\s]+@[^@\s]+", given["address"]):
        raise Invalid("an email address looks like name@example.org")
    if name == "phones" and not re.search(r"\d", given["number"]):
        raise Invalid("a phone number has digits, like +44 20 7946 0000")
    return given


def _list(name: str, value: object, most: int) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise Invalid(f"{name} must be a list")
    if len(value) > most:
        raise Invalid(f"a contact has up to {most} {name}; leave some out")
    return value


CLEANED: Mapping[str, Callable[[str, object], object]] = {
    "name": _name,
    **dict.fromkeys(LINES, _line),
    "birthday": _birthday,
    "notes": _notes,
    "tags": _tags,
    **dict.fromkeys(LISTS, _objects),
}
