"""One contact as a value, and what its fields may be. No database here."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from crow_hooks import Column, Invalid
from crow_plugins.rows import REQUIRED, Field, Kind, tags, text
from crow_plugins.rows.field import refuse_long, refuse_unstorable

LINE_MAX = 256  # characters
NOTES_BYTES_MAX, LIST_BYTES_MAX = 32 * 1024, 32 * 1024
EMAILS_MAX, PHONES_MAX, ADDRESSES_MAX, URLS_MAX = 32, 32, 16, 32

# What each of a list says, the label last: "home", "work", or whatever a person calls it.
EMAIL, PHONE, URL = ("address", "label"), ("number", "label"), ("url", "label")
ADDRESS = ("street", "city", "region", "postal_code", "country", "label")

Parts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Contact:
    """One contact as it stands here; times in unix seconds, `birthday` as YYYY-MM-DD or --MM-DD."""

    id: str
    name: str
    emails: tuple[Parts, ...]
    phones: tuple[Parts, ...]
    addresses: tuple[Parts, ...]
    urls: tuple[Parts, ...]
    organisation: str | None
    title: str | None
    birthday: str | None
    notes: str | None
    tags: tuple[str, ...]
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


def _line(name: str, default: object = None) -> Field:
    """Text in one line: whatever space it holds is one space."""
    field = text(name, bytes_max=LINE_MAX * 4, characters_max=LINE_MAX, default=default, strip=True)
    return replace(field, clean=lambda value: field.clean(_spaced(value)))


def _spaced(value: object) -> object:
    return " ".join(value.split()) if isinstance(value, str) else value


def _notes() -> Field:
    """Lines end as they do everywhere: a card that is written and read again says the same."""
    field = text("notes", bytes_max=NOTES_BYTES_MAX, strip=True)
    return replace(
        field, clean=lambda value: field.clean(re.sub(r"\r\n?", "\n", value) if isinstance(value, str) else value)
    )


def _birthday() -> Field:
    field = _line("birthday")

    def clean(value: object) -> object:
        day = field.clean(value)
        if day is not None and not _is_day(str(day)):
            raise Invalid("birthday is a day like 1985-04-12, or --04-12 where the year is not known")
        return day

    return Field(Column("birthday", bytes_max=16, nullable=True), clean)


def _is_day(text: str) -> bool:
    if not re.fullmatch(r"(\d{4}|-)-\d\d-\d\d", text, re.ASCII):
        return False
    try:
        # The year 2000 had a 29th of February, so every day that there is has a place in it.
        date.fromisoformat(text.replace("--", "2000-", 1) if text.startswith("--") else text)
    except ValueError:
        return False
    return True


def _listed(name: str, parts: Sequence[str], most: int, refuse: Callable[[Parts], None]) -> Field:
    """A list of objects of exactly these texts, each once; `refuse` raises `Invalid` for one that is none of them."""

    def clean(value: object) -> object:
        if not isinstance(value, list | tuple):
            raise Invalid(f"{name} must be a list")
        if len(value) > most:
            raise Invalid(f"a contact has up to {most} {name}; leave some out")
        objects = [_object(name, parts, item) for item in value]
        for each in objects:
            refuse(each)
        kept = [each for number, each in enumerate(objects) if each not in objects[:number]]
        refuse_long(name, json.dumps(kept, ensure_ascii=False, separators=(",", ":")), LIST_BYTES_MAX, None)
        return kept

    def read(items: object) -> tuple[Parts, ...]:
        """Another instance may have stored any JSON; what is no text of ours is not shown."""
        shown = [_shown(parts, item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return tuple(each for each in shown if any(each.values()))

    return Field(Column(name, "json", bytes_max=LIST_BYTES_MAX), clean, (), read)


def _object(name: str, parts: Sequence[str], item: object) -> dict[str, str]:
    if not isinstance(item, Mapping) or not set(item) <= set(parts):
        raise Invalid(f"each of {name} has {', '.join(parts)} and nothing else")
    given = {part: _part(f"{part} of {name}", item.get(part)) for part in parts}
    if not any(given[part] for part in parts if part != "label"):
        raise Invalid(f"one of {name} is empty; leave it out")
    return given


def _part(name: str, value: object) -> str:
    if not isinstance(value, str | None):
        raise Invalid(f"{name} must be text")
    line = " ".join((value or "").split())
    refuse_unstorable(name, line)
    refuse_long(name, line, LINE_MAX * 4, LINE_MAX)
    return line


def _shown(parts: Sequence[str], item: Mapping[str, object]) -> dict[str, str]:
    return {part: value if isinstance(value := item.get(part), str) else "" for part in parts}


def _refuse_email(email: Parts) -> None:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", email["address"]):
        raise Invalid("an email address looks like name@example.org")


def _refuse_phone(phone: Parts) -> None:
    if not re.search(r"\d", phone["number"]):
        raise Invalid("a phone number has digits, like +44 20 7946 0000")


def _refuse_url(url: Parts) -> None:
    if not re.fullmatch(r"[^\s:]+:\S+", url["url"]):
        raise Invalid("a URL looks like https://example.org")


CONTACT = Kind(
    name="contact",
    table="contacts",
    fields=(
        _line("name", default=REQUIRED),
        _listed("emails", EMAIL, EMAILS_MAX, _refuse_email),
        _listed("phones", PHONE, PHONES_MAX, _refuse_phone),
        _listed("addresses", ADDRESS, ADDRESSES_MAX, lambda address: None),
        _listed("urls", URL, URLS_MAX, _refuse_url),
        _line("organisation"),
        _line("title"),
        _birthday(),
        _notes(),
        tags(),
    ),
    record=Contact,
    changes=("contact_update", "contact_update", "contact_delete"),
    ids="find or list contacts to see their ids",
)
