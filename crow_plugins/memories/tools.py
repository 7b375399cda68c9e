"""The memories' MCP tools, resource and prompt: arguments with limits, structured answers beside readable text."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from crow_plugins.memories.memories import Memories
from crow_plugins.memories.memory import CATEGORY_MAX, MEMORY, Filters, Memory
from crow_plugins.rows import fenced
from crow_plugins.rows.field import TAG_MAX, TAGS_MAX

CONTENT_CHARACTERS_MAX = 64 * 1024
LONG_TEXT_MAX, SHORT_TEXT_MAX, QUERY_MAX = 16 * 1024, 2 * 1024, 10_000

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
RESTORES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)

ID = Field(min_length=1, max_length=64, description="The memory's id, a UUID.")
CONTENT = Field(min_length=1, max_length=CONTENT_CHARACTERS_MAX, description="What to remember, in full sentences.")
CATEGORY = Field(min_length=1, max_length=CATEGORY_MAX, description="One word or two: project, person, preference, …")
IMPORTANCE = Field(ge=1, le=10, description="From 1 (trivia) to 10 (never forget).")
TAGS = Field(max_length=TAGS_MAX, description="Words to find it by.")
CONTEXT = Field(max_length=LONG_TEXT_MAX, description="When and why this came up.")
SOURCE = Field(max_length=SHORT_TEXT_MAX, description="Where it comes from: a URL, a document, a person.")
PROJECT_ID = Field(max_length=64, description="The project it belongs to.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
QUERY = Field(min_length=1, max_length=QUERY_MAX, description="What to look for, in plain words.")
CURSOR = Field(max_length=256, description="next_cursor of the last answer.")

Tag = Annotated[str, Field(max_length=TAG_MAX)]
OnlyCategory = Annotated[str | None, Field(max_length=CATEGORY_MAX, description="Only this category.")]
OnlyTag = Annotated[str | None, Field(max_length=TAG_MAX, description="Only with this tag.")]
OnlyImportance = Annotated[int | None, Field(ge=1, le=10, description="Only this important or more.")]
OnlyProject = Annotated[str | None, Field(max_length=64, description="Only of this project.")]


class MemoryAnswer(BaseModel):
    """A memory and where it comes from; times in unix seconds."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    content: str
    category: str
    importance: int
    tags: list[str]
    context: str | None
    source: str | None
    project_id: str | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


class MemoryHit(MemoryAnswer):
    """A memory that matched: how well, and the place in it that did."""

    score: float
    snippet: str


class MemoryHits(BaseModel):
    """What a search found, best first.

    `matched` says whether all words were found or only some; `total` is how many memories match,
    or with `at_least` how many were counted before the search had enough.
    """

    items: list[MemoryHit]
    matched: str
    total: int
    at_least: bool


class MemoryPage(BaseModel):
    """Some memories of a list; pass `next_cursor` as `cursor` for the next ones."""

    items: list[MemoryAnswer]
    next_cursor: str | None
    total: int


class MemoryStatistics(BaseModel):
    """How many memories there are, by category and by the instance that wrote them first."""

    total: int
    categories: dict[str, int]
    origins: dict[str, int]
    oldest: int | None
    newest: int | None


def memory_tools(memories: Memories) -> FastMCP:
    server = FastMCP("crow-memories", mask_error_details=True)
    _add_writing(server, memories)
    _add_deleting(server, memories)
    _add_reading(server, memories)
    _add_resources(server, memories)
    return server


def _add_writing(server: FastMCP, memories: Memories) -> None:
    @server.tool(annotations=ADDS, output_schema=MemoryAnswer.model_json_schema())
    def crow_store_memory(
        content: Annotated[str, CONTENT],
        category: Annotated[str, CATEGORY] = "general",
        importance: Annotated[int, IMPORTANCE] = 5,
        tags: Annotated[list[Tag], TAGS] = [],  # noqa: B006  # the schema shows it; nobody changes it
        context: Annotated[str | None, CONTEXT] = None,
        source: Annotated[str | None, SOURCE] = None,
        project_id: Annotated[str | None, PROJECT_ID] = None,
    ) -> ToolResult:
        """Remember something for this person: a fact, a preference, a decision, how something is done."""
        return _one("Stored", memories.store(MEMORY.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=MemoryAnswer.model_json_schema())
    def crow_update_memory(
        id: Annotated[str, ID],
        content: Annotated[str | None, CONTENT] = None,
        category: Annotated[str | None, CATEGORY] = None,
        importance: Annotated[int | None, IMPORTANCE] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
        context: Annotated[str | None, CONTEXT] = None,
        source: Annotated[str | None, SOURCE] = None,
        project_id: Annotated[str | None, PROJECT_ID] = None,
    ) -> ToolResult:
        """Change fields of a memory; those left out stay. An empty context, source or project_id clears it."""
        return _one("Updated", memories.update(id, MEMORY.given(locals())))


def _add_deleting(server: FastMCP, memories: Memories) -> None:
    @server.tool(annotations=CHANGES, output_schema=MemoryAnswer.model_json_schema())
    def crow_delete_memory(id: Annotated[str, ID]) -> ToolResult:
        """Delete a memory. crow_restore_memory takes it back."""
        return _one("Deleted (crow_restore_memory takes it back)", memories.delete(id))

    @server.tool(annotations=RESTORES, output_schema=MemoryAnswer.model_json_schema())
    def crow_restore_memory(id: Annotated[str, ID]) -> ToolResult:
        """Take back the deletion of a memory."""
        return _one("Restored", memories.restore(id))


def _add_reading(server: FastMCP, memories: Memories) -> None:
    @server.tool(annotations=READS, output_schema=MemoryHits.model_json_schema())
    def crow_search_memories(
        query: Annotated[str, QUERY],
        category: OnlyCategory = None,
        tag: OnlyTag = None,
        min_importance: OnlyImportance = None,
        project_id: OnlyProject = None,
        limit: Annotated[int, LIMIT] = 10,
    ) -> ToolResult:
        """Search this person's memories, best matches first."""
        found = memories.find(query, Filters(category, tag, min_importance, project_id), limit)
        hits = [MemoryHit(**asdict(hit.record), score=hit.score, snippet=hit.snippet) for hit in found.hits]
        answer = MemoryHits(items=hits, matched=found.matched, total=found.total, at_least=found.at_least)
        return ToolResult(content=_lines(hits), structured_content=answer.model_dump())

    @server.tool(annotations=READS, output_schema=MemoryAnswer.model_json_schema())
    def crow_get_memory(id: Annotated[str, ID]) -> ToolResult:
        """One memory in full."""
        return _one("Memory", memories.get(id))

    @server.tool(annotations=READS, output_schema=MemoryPage.model_json_schema())
    def crow_list_memories(
        category: OnlyCategory = None,
        tag: OnlyTag = None,
        min_importance: OnlyImportance = None,
        project_id: OnlyProject = None,
        limit: Annotated[int, LIMIT] = 20,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """List memories, the one changed last first."""
        filters = Filters(category, tag, min_importance, project_id)
        page = memories.list(filters, limit=limit, cursor=cursor)
        items = [_answer(memory) for memory in page.items]
        answer = MemoryPage(items=items, next_cursor=page.next_cursor, total=page.total)
        return ToolResult(content=f"{page.total} in all.\n{_lines(items)}", structured_content=answer.model_dump())

    @server.tool(annotations=READS)
    def crow_memory_stats() -> MemoryStatistics:
        """How many memories there are, by category and origin."""
        return MemoryStatistics(**asdict(memories.statistics()))


def _add_resources(server: FastMCP, memories: Memories) -> None:
    @server.resource("crow://memories/{id}", mime_type="application/json")
    def memory(id: str) -> str:
        """One memory in full, as JSON."""
        return _answer(memories.get(id)).model_dump_json()

    @server.prompt
    def catch_up(topic: str) -> str:
        """What do I know about a topic?"""
        return (
            f"Search my memories for {topic!r} with crow_search_memories, read the ones that matter in full, "
            f"and tell me what I know about it, what is newest, and what seems out of date."
        )


def _answer(memory: Memory) -> MemoryAnswer:
    return MemoryAnswer.model_validate(memory)


def _one(verb: str, memory: Memory) -> ToolResult:
    answer = _answer(memory)
    return ToolResult(content=f"{verb}.\n{_line(answer)}", structured_content=answer.model_dump())


def _lines(items: list[Any]) -> str:
    return "\n".join(_line(item) for item in items) or "Nothing found."


def _line(item: MemoryAnswer) -> str:
    """Where it comes from, then the text."""
    tags = f" tags={','.join(item.tags)}" if item.tags else ""
    text = item.snippet if isinstance(item, MemoryHit) else item.content
    head = f"memory {item.id} category={item.category} importance={item.importance}{tags} from={item.origin_instance}"
    return fenced(head, text)
