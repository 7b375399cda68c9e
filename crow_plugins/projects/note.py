"""A note: a thought, a quotation, a task, on its own or about a project and a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from crow_plugins.rows import REQUIRED, Kind, choice, reference, tags, text

NoteKind = Literal["note", "quote", "summary", "idea", "question", "task", "decision"]
KINDS: Final[tuple[str, ...]] = get_args(NoteKind)
CONTENT_BYTES_MAX, TITLE_MAX, LOCATOR_MAX = 64 * 1024, 200, 100


@dataclass(frozen=True, slots=True)
class Note:
    """One note as it stands here; times in unix seconds. `locator` is its place in the source."""

    id: str
    content: str
    title: str | None
    kind: str
    locator: str | None
    tags: tuple[str, ...]
    project_id: str | None
    source_id: str | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


NOTE = Kind(
    name="note",
    table="notes",
    fields=(
        text("content", bytes_max=CONTENT_BYTES_MAX, default=REQUIRED),
        text("title", bytes_max=TITLE_MAX * 4, characters_max=TITLE_MAX, strip=True),
        choice("kind", KINDS, default="note"),
        text("locator", bytes_max=LOCATOR_MAX * 4, characters_max=LOCATOR_MAX, strip=True),
        tags(),
        reference("project_id"),
        reference("source_id"),
    ),
    record=Note,
    changes=("note_insert", "note_update", "note_delete"),
    ids="search notes to see their ids",
)
