"""A memory graph as the reference MCP memory server keeps it (JSON Lines of entities and relations), as memories.

Each observation of an entity is a memory of its own, so that it can be found, changed and forgotten alone; an
entity of which nothing was observed, and each relation, is one too. Names become tags.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from crow_hooks import Crow, Data, Invalid, Skipped
from crow_plugins.memories.memory import CATEGORY_MAX, MEMORY
from crow_plugins.rows import Importer, take
from crow_plugins.rows.field import TAG_MAX

NAMES: Final = uuid.UUID("4f7b1c90-6a2d-5d3e-b8c4-91e0a5f6d273")  # the namespace of ids of imported memories
SOURCE = "memory graph"


def graph(crow: Crow) -> Importer:
    def read(path: Path, dry_run: bool) -> Iterator[Skipped | None]:
        with path.open("rb") as file:
            lines: list[int] = []
            for result in take(crow, MEMORY, _noting(memories(file), lines), dry_run):
                yield result and Skipped(lines[result.position - 1], result.reason, here=result.here)

    return Importer.of("memory-graph", "line", read)


def _noting(records: Iterator[tuple[int, Data | Skipped]], lines: list[int]) -> Iterator[Data | Skipped]:
    for line, record in records:
        lines.append(line)
        yield Skipped(len(lines), record.reason) if isinstance(record, Skipped) else record


def memories(lines: Iterable[bytes]) -> Iterator[tuple[int, Data | Skipped]]:
    """The memories of every line, each with the number of its line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            for content, category, tags in _said(_object(line)):
                yield number, _record(content, category, tags)
        except Invalid as error:
            yield number, Skipped(number, str(error))


def _object(line: bytes) -> Mapping[str, object]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        raise Invalid("is not JSON") from None
    if not isinstance(value, dict):
        raise Invalid("is not a JSON object")
    return value


def _said(thing: Mapping[str, object]) -> Iterator[tuple[str, str, list[str]]]:
    """What a line says, as contents with category and tags."""
    if thing.get("type") == "entity":
        name, kind = _text(thing, "name"), _text(thing, "entityType")
        observations = thing.get("observations", [])
        if not isinstance(observations, list) or not all(isinstance(each, str) for each in observations):
            raise Invalid("has observations that are no list of texts")
        said = [each for each in observations if each.strip()]
        yield from ((f"{name}: {each}", kind, [name]) for each in said or [kind])
    elif thing.get("type") == "relation":
        one, other = _text(thing, "from"), _text(thing, "to")
        yield f"{one} {_text(thing, 'relationType')} {other}", "relation", [one, other]
    else:
        raise Invalid("has no type that a memory graph has: entity or relation")


def _text(thing: Mapping[str, object], name: str) -> str:
    value = thing.get(name)
    if not isinstance(value, str) or not value.strip():
        raise Invalid(f"has no {name}")
    return value.strip()


def _record(content: str, category: str, tags: list[str]) -> Data:
    return {
        "id": str(uuid.uuid5(NAMES, content)),
        "content": content,
        "category": category if len(category) <= CATEGORY_MAX else category[: CATEGORY_MAX - 1] + "…",
        "tags": [tag for tag in tags if len(tag) <= TAG_MAX],
        "source": SOURCE,
    }
