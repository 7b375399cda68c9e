"""The MCP tools and resource of sources."""

from __future__ import annotations

from typing import Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from pydantic import Field

from crow_plugins.projects import answers
from crow_plugins.projects.answers import ADDS, CHANGES, READS, CitedSource, SourceAnswer, SourceHit, SourceHits
from crow_plugins.projects.citing import Citations
from crow_plugins.projects.finding import Shelf
from crow_plugins.projects.source import LINE_MAX, PEOPLE_MAX, PERSON_MAX, SOURCE, TITLE_MAX, Source, SourceKind
from crow_plugins.rows import Condition, equals, tagged
from crow_plugins.rows.field import TAG_MAX, TAGS_MAX

ID = Field(min_length=1, max_length=64, description="The source's id, a UUID.")
TITLE = Field(min_length=1, max_length=TITLE_MAX, description="Its title, subtitle included.")
KIND = Field(description="What it is; `paper` is one of a conference.")
PEOPLE = "People as `Family, Given`, organisations as they are called."
AUTHORS = Field(max_length=PEOPLE_MAX, description=f"Who wrote it. {PEOPLE}")
EDITORS = Field(max_length=PEOPLE_MAX, description=f"Who edited it, or the book it is in. {PEOPLE}")
DATE = Field(max_length=10, description="When it appeared: 2024, 2024-03 or 2024-03-05.")
PUBLISHER = Field(max_length=LINE_MAX, description="Who published it; of a thesis, the university.")
CONTAINER = Field(max_length=LINE_MAX, description="What it is part of: journal, book, proceedings, website.")
VOLUME = Field(max_length=LINE_MAX, description="The volume of what it is part of.")
ISSUE = Field(max_length=LINE_MAX, description="The issue of what it is part of, or the number of a report.")
PAGES = Field(max_length=LINE_MAX, description="Where in it: 12, or 12-20.")
EDITION = Field(max_length=LINE_MAX, description="The edition, if not the first.")
DOI = Field(max_length=LINE_MAX, description="Its DOI, with or without https://doi.org/.")
ISBN = Field(max_length=LINE_MAX, description="Its ISBN, of 10 or 13 digits.")
URL = Field(max_length=2048, description="Where it is on the web.")
ACCESSED = Field(max_length=10, description="When it was looked at there, as a date.")
ABSTRACT = Field(max_length=16 * 1024, description="What it says, in short.")
CITATION_KEY = Field(max_length=LINE_MAX, description="What a bibliography file calls it.")
EXTRA = Field(max_length=16 * 1024, description="What else is known of it, a line each: `name: value`.")
TAGS = Field(max_length=TAGS_MAX, description="Words to find it by.")
PROJECT_ID = Field(max_length=64, description="The project it is for.")
QUERY = Field(min_length=1, max_length=10_000, description="What to look for, in plain words; all when left out.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=256, description="next_cursor of the last answer, where there is no query.")

Tag = Annotated[str, Field(max_length=TAG_MAX)]
Person = Annotated[str, Field(max_length=PERSON_MAX)]


def add_source_tools(server: FastMCP, sources: Shelf[Source]) -> None:
    _add_adding(server, sources)
    _add_changing(server, sources)
    _add_reading(server, sources)


def _add_adding(server: FastMCP, sources: Shelf[Source]) -> None:
    @server.tool(annotations=ADDS, output_schema=SourceAnswer.model_json_schema())
    def crow_add_source(
        title: Annotated[str, TITLE],
        kind: Annotated[SourceKind, KIND] = "other",
        authors: Annotated[list[Person], AUTHORS] = [],  # noqa: B006  # the schema shows it; nobody changes it
        editors: Annotated[list[Person], EDITORS] = [],  # noqa: B006
        date: Annotated[str | None, DATE] = None,
        publisher: Annotated[str | None, PUBLISHER] = None,
        container: Annotated[str | None, CONTAINER] = None,
        volume: Annotated[str | None, VOLUME] = None,
        issue: Annotated[str | None, ISSUE] = None,
        pages: Annotated[str | None, PAGES] = None,
        edition: Annotated[str | None, EDITION] = None,
        doi: Annotated[str | None, DOI] = None,
        isbn: Annotated[str | None, ISBN] = None,
        url: Annotated[str | None, URL] = None,
        accessed: Annotated[str | None, ACCESSED] = None,
        abstract: Annotated[str | None, ABSTRACT] = None,
        citation_key: Annotated[str | None, CITATION_KEY] = None,
        extra: Annotated[str | None, EXTRA] = None,
        tags: Annotated[list[Tag], TAGS] = [],  # noqa: B006
        project_id: Annotated[str | None, PROJECT_ID] = None,
    ) -> ToolResult:
        """Keep a source: a book, an article, a page, anything that can be cited."""
        return _one("Added", sources, sources.add(SOURCE.given(locals())))


def _add_changing(server: FastMCP, sources: Shelf[Source]) -> None:
    @server.tool(annotations=CHANGES, output_schema=SourceAnswer.model_json_schema())
    def crow_update_source(
        id: Annotated[str, ID],
        title: Annotated[str | None, TITLE] = None,
        kind: Annotated[SourceKind | None, KIND] = None,
        authors: Annotated[list[Person] | None, AUTHORS] = None,
        editors: Annotated[list[Person] | None, EDITORS] = None,
        date: Annotated[str | None, DATE] = None,
        publisher: Annotated[str | None, PUBLISHER] = None,
        container: Annotated[str | None, CONTAINER] = None,
        volume: Annotated[str | None, VOLUME] = None,
        issue: Annotated[str | None, ISSUE] = None,
        pages: Annotated[str | None, PAGES] = None,
        edition: Annotated[str | None, EDITION] = None,
        doi: Annotated[str | None, DOI] = None,
        isbn: Annotated[str | None, ISBN] = None,
        url: Annotated[str | None, URL] = None,
        accessed: Annotated[str | None, ACCESSED] = None,
        abstract: Annotated[str | None, ABSTRACT] = None,
        citation_key: Annotated[str | None, CITATION_KEY] = None,
        extra: Annotated[str | None, EXTRA] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
        project_id: Annotated[str | None, PROJECT_ID] = None,
    ) -> ToolResult:
        """Change fields of a source; those left out stay, an empty text clears its field."""
        return _one("Updated", sources, sources.update(id, SOURCE.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=SourceAnswer.model_json_schema())
    def crow_delete_source(id: Annotated[str, ID]) -> ToolResult:
        """Delete a source. Notes about it stay, and go on naming it."""
        return _one("Deleted; notes about it stay", sources, sources.delete(id))


def _add_reading(server: FastMCP, sources: Shelf[Source]) -> None:
    citations = Citations()

    def cited(id: str) -> CitedSource:
        source = sources.get(id)
        [referring] = sources.referring([source])
        return CitedSource(**answers.values(source, referring), citations=citations.of(source))

    @server.tool(annotations=READS, output_schema=CitedSource.model_json_schema())
    def crow_get_source(id: Annotated[str, ID]) -> ToolResult:
        """One source in full, with its citation in APA, MLA and Chicago style."""
        answer = cited(id)
        styles = "\n".join(f"{style}: {text}" for style, text in answer.citations.items())
        return answers.result(answer, _line(answer, f"{_said(answer)}\n{styles}"))

    @server.tool(annotations=READS, output_schema=SourceHits.model_json_schema())
    def crow_search_sources(
        query: Annotated[str | None, QUERY] = None,
        kind: Annotated[SourceKind | None, Field(description="Only of this kind.")] = None,
        tag: Annotated[str | None, Field(max_length=TAG_MAX, description="Only with this tag.")] = None,
        project_id: Annotated[str | None, Field(max_length=64, description="Only of this project.")] = None,
        limit: Annotated[int, LIMIT] = 10,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """Search this person's sources, best matches first; without a query list them, the one changed last first."""
        conditions = _conditions(kind, tag, project_id)
        answer = SourceHits(**answers.search(sources, query, conditions, limit, cursor))
        return answers.result(answer, answers.lines(answer.items, _found))

    @server.resource("crow://sources/{id}", mime_type="application/json")
    def source(id: str) -> str:
        """One source with its citations, as JSON."""
        return cited(id).model_dump_json()


def _conditions(kind: str | None, tag: str | None, project_id: str | None) -> list[Condition]:
    conditions = [equals("kind", kind, is_indexed=False)] if kind else []
    conditions += [tagged(tag)] if tag else []
    return conditions + ([equals("project_id", project_id)] if project_id else [])


def _one(verb: str, sources: Shelf[Source], source: Source) -> ToolResult:
    [referring] = sources.referring([source])
    answer = SourceAnswer(**answers.values(source, referring))
    return answers.result(answer, f"{verb}.\n{_line(answer, _said(answer))}")


def _found(item: SourceHit) -> str:
    return _line(item, f"{_said(item)}\n{item.snippet}" if item.snippet else _said(item))


def _said(item: SourceAnswer) -> str:
    """Who, when and what, in a line."""
    who = "; ".join([*item.authors[:3], *(["…"] if len(item.authors) > 3 else [])])
    return " · ".join(part for part in (who, item.date, item.title, item.container, item.url) if part)


def _line(item: SourceAnswer, text: str) -> str:
    head = f"source {item.id} kind={item.kind}{answers.named('project', item.project)}"
    return answers.line(head, item, text)
