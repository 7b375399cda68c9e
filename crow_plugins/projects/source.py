"""A source: what was read, watched or asked, described well enough to be cited and found again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Literal, get_args

from stdnum import isbn
from stdnum.exceptions import ValidationError

from crow_hooks import Invalid
from crow_plugins.rows import REQUIRED, Field, Kind, choice, reference, tags, text, texts

SourceKind = Literal[
    "article",
    "book",
    "chapter",
    "paper",
    "report",
    "thesis",
    "web",
    "news",
    "dataset",
    "software",
    "video",
    "audio",
    "interview",
    "law",
    "patent",
    "other",
]
KINDS: Final[tuple[str, ...]] = get_args(SourceKind)
TITLE_MAX, PERSON_MAX, PEOPLE_MAX, LINE_MAX = 1000, 200, 1000, 400
LONG_BYTES_MAX, URL_BYTES_MAX = 16 * 1024, 2 * 1024
DOI, URL, DAY = r"10\.\d{4,9}/\S+", r"(?i:https?|ftp)://\S+", r"\d{4}(-\d{2}(-\d{2})?)?"


@dataclass(frozen=True, slots=True)
class Source:
    """One source as it stands here; times in unix seconds."""

    id: str
    title: str
    kind: str
    authors: tuple[str, ...]
    editors: tuple[str, ...]
    date: str | None
    publisher: str | None
    container: str | None
    volume: str | None
    issue: str | None
    pages: str | None
    edition: str | None
    doi: str | None
    isbn: str | None
    url: str | None
    accessed: str | None
    abstract: str | None
    citation_key: str | None
    extra: str | None
    tags: tuple[str, ...]
    project_id: str | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


def _then(field: Field, check: Callable[[str], str]) -> Field:
    """The same field, whose text is looked at once more if there is any."""

    def clean(value: object) -> object:
        cleaned = field.clean(value)
        return None if cleaned is None else check(str(cleaned))

    return replace(field, clean=clean)


def _line(name: str, characters_max: int = LINE_MAX) -> Field:
    return text(name, bytes_max=characters_max * 4, characters_max=characters_max, strip=True)


def _day(name: str) -> Field:
    def check(value: str) -> str:
        try:
            if re.fullmatch(DAY, value):
                date.fromisoformat(value + "-01-01"[len(value) - 4 :])
                return value
        except ValueError:
            pass
        raise Invalid(f"{name} is a year, a month or a day: 2024, 2024-03 or 2024-03-05")

    return _then(_line(name), check)


def _doi(value: str) -> str:
    bare = re.sub(r"(?i)^(https?://(dx\.)?doi\.org/|doi:\s*)", "", value)
    if not re.fullmatch(DOI, bare):
        raise Invalid("doi is not one; it looks like 10.1000/182, with or without https://doi.org/ before it")
    return bare


def _isbn(value: str) -> str:
    try:
        return str(isbn.validate(value))
    except ValidationError:
        raise Invalid("isbn is not one: its length or its check digit is wrong; copy it again") from None


SOURCE = Kind(
    name="source",
    table="sources",
    fields=(
        text("title", bytes_max=TITLE_MAX * 4, characters_max=TITLE_MAX, default=REQUIRED, strip=True),
        choice("kind", KINDS, default="other"),
        texts("authors", most=PEOPLE_MAX, characters_max=PERSON_MAX),
        texts("editors", most=PEOPLE_MAX, characters_max=PERSON_MAX),
        _day("date"),
        _line("publisher"),
        _line("container"),
        _line("volume"),
        _line("issue"),
        _line("pages"),
        _line("edition"),
        _then(_line("doi"), _doi),
        _then(_line("isbn"), _isbn),
        text("url", bytes_max=URL_BYTES_MAX, pattern=(URL, "is an address that begins with http:// or https://")),
        _day("accessed"),
        text("abstract", bytes_max=LONG_BYTES_MAX),
        _line("citation_key"),
        text("extra", bytes_max=LONG_BYTES_MAX),
        tags(),
        reference("project_id"),
    ),
    record=Source,
    changes=("source_insert", "source_update", "source_delete"),
    ids="search sources to see their ids",
)
