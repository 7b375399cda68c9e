"""One post as a value, what a person says of it, and what a list or search can be narrowed to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from crow_hooks import Column, Invalid
from crow_plugins.blog import slug
from crow_plugins.rows import REQUIRED, Condition, Field, Kind, choice, equals, tagged, tags, text, unix_seconds

Status = Literal["draft", "published", "archived"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

TITLE_MAX, EXCERPT_MAX = 200, 1000  # characters
CONTENT_BYTES_MAX = 100 * 1024
LANGUAGE = r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*"


@dataclass(frozen=True, slots=True)
class Post:
    """One post as it stands here; times in unix seconds. `slug` is the stored one; `published_at` the first time."""

    id: str
    title: str
    slug: str
    content: str
    excerpt: str | None
    language: str | None
    tags: tuple[str, ...]
    status: Status
    published_at: int | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


def _title() -> Field:
    field = text("title", bytes_max=TITLE_MAX * 4, characters_max=TITLE_MAX, default=REQUIRED)
    return replace(field, clean=lambda value: field.clean(" ".join(value.split()) if isinstance(value, str) else value))


def _time(name: str) -> Field:
    def clean(value: object) -> object:
        return None if value is None else unix_seconds(name, value)

    return Field(Column(name, "integer", nullable=True), clean)


POST = Kind(
    name="post",
    table="posts",
    fields=(
        _title(),
        Field(Column("slug", bytes_max=slug.SLUG_MAX * 4), slug.checked, REQUIRED),
        text("content", bytes_max=CONTENT_BYTES_MAX, default=REQUIRED),
        text("excerpt", bytes_max=EXCERPT_MAX * 4, characters_max=EXCERPT_MAX, strip=True),
        text("language", bytes_max=64, characters_max=35, pattern=(LANGUAGE, "is a language like en, de or pt-BR")),
        tags(),
        choice("status", STATUSES, default="draft"),
        _time("published_at"),
    ),
    record=Post,
    changes=("blog_update", "blog_update", "blog_delete"),
    ids="search or list posts to see their ids",
)


def check_row(data: Mapping[str, object]) -> None:
    """What every machine relies on of a post that was written, here or elsewhere. Raises `Invalid`."""
    if slug.checked(data["slug"]) != data["slug"]:
        raise Invalid("slug is not spelled as it is stored; write it in small letters")
    if data["status"] not in STATUSES:
        raise Invalid(f"status is one of {', '.join(STATUSES)}")


def narrowed(status: Status | None, tag: str | None) -> list[Condition]:
    """What a post must be besides matching; None lets everything through."""
    conditions: list[Condition] = []
    if status is not None:
        conditions.append(equals("status", status))
    if tag is not None:
        conditions.append(tagged(tag))
    return conditions
