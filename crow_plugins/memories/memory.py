"""One memory as a value, what a person says of it, and what a list or search can be narrowed to."""

from __future__ import annotations

from dataclasses import dataclass

from crow_plugins.fulltext import MARK
from crow_plugins.rows import REQUIRED, Condition, Kind, MarkIs, equals, reference, tagged, tags, text, whole

CONTENT_BYTES_MAX, CATEGORY_MAX = 64 * 1024, 64
CONTEXT_BYTES_MAX, SOURCE_BYTES_MAX = 16 * 1024, 2 * 1024
IMPORTANCE_USUAL, IMPORTANCE_MAX = 5, 10  # what a memory gets when nobody says, and the most


@dataclass(frozen=True, slots=True)
class Memory:
    """One memory as it stands here; times in unix seconds."""

    id: str
    content: str
    category: str
    importance: int
    tags: tuple[str, ...]
    context: str | None
    source: str | None
    project_id: str | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


MEMORY = Kind(
    name="memory",
    table="memories",
    fields=(
        text("content", bytes_max=CONTENT_BYTES_MAX, default=REQUIRED),
        text("category", bytes_max=CATEGORY_MAX * 4, characters_max=CATEGORY_MAX, default="general", strip=True),
        whole("importance", 1, IMPORTANCE_MAX, default=IMPORTANCE_USUAL),
        tags(),
        text("context", bytes_max=CONTEXT_BYTES_MAX),
        text("source", bytes_max=SOURCE_BYTES_MAX),
        reference("project_id"),
    ),
    record=Memory,
    changes=("memory_insert", "memory_update", "memory_delete"),
    ids="search or list memories to see their ids",
)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a memory must be besides matching; None lets everything through."""

    category: str | None = None
    tag: str | None = None
    min_importance: int | None = None
    project_id: str | None = None

    def conditions(self) -> list[Condition]:
        conditions: list[Condition] = []
        if self.category is not None:
            conditions.append(equals("category", self.category))
        if self.project_id is not None:
            conditions.append(equals("project_id", self.project_id))
        if self.min_importance is not None:
            conditions.append(_important(self.min_importance))
        if self.tag is not None:
            conditions.append(tagged(self.tag))
        return conditions


def _important(least: int) -> Condition:
    # The index of the important holds no others: SQLite uses it only where it can see that it may.
    if least > IMPORTANCE_USUAL:
        marks = tuple(f"{MARK}{each}" for each in range(least, IMPORTANCE_MAX + 1))
        return MarkIs(f"importance > {IMPORTANCE_USUAL} AND importance >= ?", least, is_indexed=True, marks=marks)
    return Condition("importance >= ?", least)
