"""What the tools answer: rows with where they come from and what they name, as values and as readable text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from crow_hooks import Invalid
from crow_plugins.fulltext import Found
from crow_plugins.projects.finding import Referring, Shelf
from crow_plugins.projects.note import Note
from crow_plugins.projects.project import Project
from crow_plugins.projects.references import State
from crow_plugins.projects.source import Source
from crow_plugins.rows import Condition, Page, fenced

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

Record = TypeVar("Record", Project, Source, Note)
Answer = TypeVar("Answer", bound="Row")


class Row(BaseModel):
    """Where a row comes from; times in unix seconds."""

    id: str
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


class ReferenceAnswer(BaseModel):
    """A row that another one names: `here` with its title, `deleted`, or `not_here` (yet)."""

    id: str
    state: State
    title: str | None


class ProjectAnswer(Row):
    """A project."""

    name: str
    description: str | None
    status: str
    tags: list[str]


class ProjectDetail(ProjectAnswer):
    """A project, and how much is gathered for it here."""

    sources: int
    notes: int


class SourceAnswer(Row):
    """A source; people as `Family, Given`, organisations as they are called."""

    title: str
    kind: str
    authors: list[str]
    editors: list[str]
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
    tags: list[str]
    project_id: str | None
    project: ReferenceAnswer | None


class CitedSource(SourceAnswer):
    """A source with its citation in each style: `apa`, `mla`, `chicago`."""

    citations: dict[str, str]


class NoteAnswer(Row):
    """A note, with the project and the source that it names."""

    content: str
    title: str | None
    kind: str
    locator: str | None
    tags: list[str]
    project_id: str | None
    project: ReferenceAnswer | None
    source_id: str | None
    source: ReferenceAnswer | None


class ProjectPage(BaseModel):
    """Some projects; pass `next_cursor` as `cursor` for the next ones."""

    items: list[ProjectAnswer]
    next_cursor: str | None
    total: int


class SourceHit(SourceAnswer):
    """A source that was found; how well it matched, and where."""

    score: float | None
    snippet: str | None


class SourceHits(BaseModel):
    """Sources, best match first, or in pages where there was no query.

    `matched` says whether all words were found or only some; with `at_least` there may be more than `total`.
    """

    items: list[SourceHit]
    matched: str | None
    total: int
    at_least: bool
    next_cursor: str | None


class NoteHit(NoteAnswer):
    """A note that was found; how well it matched, and where."""

    score: float | None
    snippet: str | None


class NoteHits(BaseModel):
    """Notes, best match first, or in pages where there was no query.

    `matched` says whether all words were found or only some; with `at_least` there may be more than `total`.
    """

    items: list[NoteHit]
    matched: str | None
    total: int
    at_least: bool
    next_cursor: str | None


def values(record: Project | Source | Note, referring: Referring) -> dict[str, Any]:
    """A row with what it names, as the answers have it."""
    return {**asdict(record), **asdict(referring)}


def search(
    shelf: Shelf[Record], query: str | None, conditions: Sequence[Condition], limit: int, cursor: str | None
) -> dict[str, Any]:
    """What matches a query, or without one everything that meets the conditions, as the answers have it."""
    if query is not None and cursor is not None:
        raise Invalid("a search has no pages; leave cursor out, or leave query out to list everything")
    if query is None:
        return _paged(shelf, shelf.list(conditions, limit=limit, cursor=cursor))
    return _found(shelf, shelf.find(query, conditions, limit))


def _found(shelf: Shelf[Record], found: Found[Record]) -> dict[str, Any]:
    referring = shelf.referring([hit.record for hit in found.hits])
    return {
        "items": [
            {**values(hit.record, names), "score": hit.score, "snippet": hit.snippet}
            for hit, names in zip(found.hits, referring, strict=True)
        ],
        "matched": found.matched,
        "total": found.total,
        "at_least": found.at_least,
        "next_cursor": None,
    }


def _paged(shelf: Shelf[Record], page: Page[Record]) -> dict[str, Any]:
    referring = shelf.referring(page.items)
    return {
        "items": [
            {**values(record, names), "score": None, "snippet": None}
            for record, names in zip(page.items, referring, strict=True)
        ],
        "matched": None,
        "total": page.total,
        "at_least": False,
        "next_cursor": page.next_cursor,
    }


def result(answer: BaseModel, text: str) -> ToolResult:
    return ToolResult(content=text, structured_content=answer.model_dump())


def lines(items: Sequence[Answer], shown: Callable[[Answer], str]) -> str:
    return "\n".join(shown(item) for item in items) or "Nothing found."


def line(head: str, item: Row, text: str) -> str:
    """What it is and where it comes from, then its text."""
    return fenced(f"{head} from={item.origin_instance}", text)


def named(word: str, reference: ReferenceAnswer | None) -> str:
    """A reference in the head of a line."""
    if reference is None:
        return ""
    state = "" if reference.state == "here" else f" ({reference.state.replace('_', ' ')})"
    return f" {word}={reference.id}{state}"
