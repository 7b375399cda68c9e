"""A project: what sources and notes are gathered for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from crow_plugins.rows import REQUIRED, Kind, choice, tags, text

NAME_MAX, DESCRIPTION_BYTES_MAX = 200, 16 * 1024
Status = Literal["active", "paused", "done", "archived"]
STATUSES: Final[tuple[str, ...]] = get_args(Status)


@dataclass(frozen=True, slots=True)
class Project:
    """One project as it stands here; times in unix seconds."""

    id: str
    name: str
    description: str | None
    status: str
    tags: tuple[str, ...]
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


PROJECT = Kind(
    name="project",
    table="projects",
    fields=(
        text("name", bytes_max=NAME_MAX * 4, characters_max=NAME_MAX, default=REQUIRED, strip=True),
        text("description", bytes_max=DESCRIPTION_BYTES_MAX),
        choice("status", STATUSES, default="active"),
        tags(),
    ),
    record=Project,
    changes=("project_update", "project_update", "project_delete"),
    ids="list projects to see their ids",
)
