"""The settings of federation."""

from __future__ import annotations

from pydantic import BaseModel, Field

# Searches and gets of what travels between instances anyway; a name that no plugin has here does no harm.
EXPOSED = (
    "crow_search",
    "crow_search_memories",
    "crow_get_memory",
    "crow_local_summary",
    "crow_get_project",
    "crow_search_sources",
    "crow_get_source",
    "crow_search_notes",
    "crow_get_note",
    "crow_search_posts",
    "crow_get_post",
)


class Settings(BaseModel):
    """`[plugin.settings]` of federation."""

    expose: tuple[str, ...] = Field(default=EXPOSED, description="The tools that other instances may call.")
    calls_per_minute: int = Field(
        default=600, ge=1, le=100_000, description="How many requests one instance may make in a minute."
    )
