"""The MCP tools and resource of notes."""

from __future__ import annotations

from typing import Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from pydantic import Field

from crow_plugins.projects import answers
from crow_plugins.projects.answers import ADDS, CHANGES, READS, NoteAnswer, NoteHit, NoteHits
from crow_plugins.projects.finding import Shelf
from crow_plugins.projects.note import LOCATOR_MAX, NOTE, TITLE_MAX, Note, NoteKind
from crow_plugins.rows import Condition, equals, tagged
from crow_plugins.rows.field import TAG_MAX, TAGS_MAX

ID = Field(min_length=1, max_length=64, description="The note's id, a UUID.")
CONTENT = Field(min_length=1, max_length=64 * 1024, description="What the note says; Markdown if you like.")
TITLE = Field(max_length=TITLE_MAX, description="What to call it.")
KIND = Field(description="What it is; a `quote` is word for word.")
LOCATOR = Field(max_length=LOCATOR_MAX, description="Where in the source: a page, a chapter, a time.")
TAGS = Field(max_length=TAGS_MAX, description="Words to find it by.")
PROJECT_ID = Field(max_length=64, description="The project it is for.")
SOURCE_ID = Field(max_length=64, description="The source it is about.")
QUERY = Field(min_length=1, max_length=10_000, description="What to look for, in plain words; all when left out.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=256, description="next_cursor of the last answer, where there is no query.")

Tag = Annotated[str, Field(max_length=TAG_MAX)]


def add_note_tools(server: FastMCP, notes: Shelf[Note]) -> None:
    _add_writing(server, notes)
    _add_reading(server, notes)


def _add_writing(server: FastMCP, notes: Shelf[Note]) -> None:
    @server.tool(annotations=ADDS, output_schema=NoteAnswer.model_json_schema())
    def crow_add_note(
        content: Annotated[str, CONTENT],
        title: Annotated[str | None, TITLE] = None,
        kind: Annotated[NoteKind, KIND] = "note",
        locator: Annotated[str | None, LOCATOR] = None,
        tags: Annotated[list[Tag], TAGS] = [],  # noqa: B006  # the schema shows it; nobody changes it
        project_id: Annotated[str | None, PROJECT_ID] = None,
        source_id: Annotated[str | None, SOURCE_ID] = None,
    ) -> ToolResult:
        """Write a note, on its own or about a project and a source."""
        return _one("Added", notes, notes.add(NOTE.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=NoteAnswer.model_json_schema())
    def crow_update_note(
        id: Annotated[str, ID],
        content: Annotated[str | None, CONTENT] = None,
        title: Annotated[str | None, TITLE] = None,
        kind: Annotated[NoteKind | None, KIND] = None,
        locator: Annotated[str | None, LOCATOR] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
        project_id: Annotated[str | None, PROJECT_ID] = None,
        source_id: Annotated[str | None, SOURCE_ID] = None,
    ) -> ToolResult:
        """Change fields of a note; those left out stay. An empty title, locator, project_id or source_id clears it."""
        return _one("Updated", notes, notes.update(id, NOTE.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=NoteAnswer.model_json_schema())
    def crow_delete_note(id: Annotated[str, ID]) -> ToolResult:
        """Delete a note."""
        return _one("Deleted", notes, notes.delete(id))


def _add_reading(server: FastMCP, notes: Shelf[Note]) -> None:
    @server.tool(annotations=READS, output_schema=NoteAnswer.model_json_schema())
    def crow_get_note(id: Annotated[str, ID]) -> ToolResult:
        """One note in full."""
        return _one("Note", notes, notes.get(id))

    @server.tool(annotations=READS, output_schema=NoteHits.model_json_schema())
    def crow_search_notes(
        query: Annotated[str | None, QUERY] = None,
        kind: Annotated[NoteKind | None, Field(description="Only of this kind.")] = None,
        tag: Annotated[str | None, Field(max_length=TAG_MAX, description="Only with this tag.")] = None,
        project_id: Annotated[str | None, Field(max_length=64, description="Only of this project.")] = None,
        source_id: Annotated[str | None, Field(max_length=64, description="Only about this source.")] = None,
        limit: Annotated[int, LIMIT] = 10,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """Search this person's notes, best matches first; without a query list them, the one changed last first."""
        conditions = _conditions(kind, tag, project_id, source_id)
        answer = NoteHits(**answers.search(notes, query, conditions, limit, cursor))
        return answers.result(answer, answers.lines(answer.items, _found))

    @server.resource("crow://notes/{id}", mime_type="application/json")
    def note(id: str) -> str:
        """One note, as JSON."""
        return _answer(notes, notes.get(id)).model_dump_json()


def _conditions(kind: str | None, tag: str | None, project_id: str | None, source_id: str | None) -> list[Condition]:
    conditions = [equals("kind", kind, is_indexed=False)] if kind else []
    conditions += [tagged(tag)] if tag else []
    named = {"project_id": project_id, "source_id": source_id}
    return conditions + [equals(column, row_id) for column, row_id in named.items() if row_id]


def _answer(notes: Shelf[Note], note: Note) -> NoteAnswer:
    [referring] = notes.referring([note])
    return NoteAnswer(**answers.values(note, referring))


def _one(verb: str, notes: Shelf[Note], note: Note) -> ToolResult:
    answer = _answer(notes, note)
    return answers.result(answer, f"{verb}.\n{_line(answer, answer.content)}")


def _found(item: NoteHit) -> str:
    return _line(item, item.snippet or item.content)


def _line(item: NoteAnswer, text: str) -> str:
    named = answers.named("project", item.project) + answers.named("source", item.source)
    shown = f"{item.title}\n{text}" if item.title else text
    return answers.line(f"note {item.id} kind={item.kind}{named}", item, shown)
