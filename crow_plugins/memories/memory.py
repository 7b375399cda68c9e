"""One memory as a value, and how it is read from its table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

FIELDS = ("content", "category", "importance", "tags", "context", "source", "project_id")
COLUMNS = ("id", *FIELDS, "origin_instance", "created_at", "updated_at", "lamport_ts")
SELECT = f"SELECT {', '.join(COLUMNS)} FROM memories"


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


def memory_of(row: Sequence[object]) -> Memory:
    values = dict(zip(COLUMNS, row, strict=True))
    return Memory(**{**values, "tags": tuple(json.loads(str(values["tags"])))})  # type: ignore[arg-type]  # as declared
