"""A memory graph of the reference MCP memory server, as memories."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gateway_process import crow


def entity(name: str, kind: str, *observations: object) -> dict[str, object]:
    return {"type": "entity", "name": name, "entityType": kind, "observations": list(observations)}


GRAPH: list[object] = [
    entity("Ada", "person", "likes ravens", "lives in Bern"),
    entity("Nest", "place"),
    {"type": "relation", "from": "Ada", "to": "Nest", "relationType": "lives in"},
    entity("K" * 80, "k" * 80, "has a long name"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "memory.json"
    file.write_text("".join(json.dumps(each) + "\n" for each in GRAPH))
    return file


def answer(home: Path, *arguments: str, code: int = 0) -> Any:
    done = crow(home, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_observations_and_relations_become_memories_that_come_out_the_same(
    file: Path, home: Path, make_home: Callable[[str], Path], tmp_path: Path
) -> None:
    assert answer(home, "import", str(file), "--format", "memory-graph", "--dry-run")["imported"] == 5
    assert crow(home, "export", "-").stdout == ""
    assert answer(home, "import", str(file), "--format", "memory-graph")["imported"] == 5
    exported = tmp_path / "all.jsonl"
    answer(home, "export", str(exported))
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    # They are of one second, so they come in an order of their own.
    assert sorted((row["content"], row["category"], row["tags"], row["source"]) for row in rows) == [
        ("Ada lives in Nest", "relation", ["Ada", "Nest"], "memory graph"),
        ("Ada: likes ravens", "person", ["Ada"], "memory graph"),
        ("Ada: lives in Bern", "person", ["Ada"], "memory graph"),
        ("K" * 80 + ": has a long name", "k" * 63 + "…", [], "memory graph"),
        ("Nest: place", "place", ["Nest"], "memory graph"),
    ]
    assert answer(home, "import", str(file), "--format", "memory-graph")["already_here"] == 5
    swan = make_home("swan")
    assert answer(swan, "import", str(exported))["imported"] == 5
    assert crow(swan, "export", "-").stdout == exported.read_text()


def test_lines_that_are_none_are_named_by_their_number(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "memory.json"
    lines = [
        json.dumps(GRAPH[0]),
        "",
        "not json",
        "[1]",
        '{"type": "event"}',
        '{"type": "entity", "name": "x"}',
        json.dumps(entity("x", "y", 1)),
        '{"type": "relation", "from": "a", "to": " ", "relationType": "b"}',
        json.dumps(entity("x", "y", "z" * (1 << 17))),
        json.dumps(entity("Ada", "person", "likes ravens", "is early")),
    ]
    file.write_text("\n".join(lines))
    told = answer(home, "import", str(file), "--format", "memory-graph", code=1)
    assert (told["imported"], told["already_here"]) == (3, 1)
    assert {each["line"]: each["reason"] for each in told["skipped"]} == {
        3: "is not JSON",
        4: "is not a JSON object",
        5: "has no type that a memory graph has: entity or relation",
        6: "has no entityType",
        7: "has observations that are no list of texts",
        8: "has no to",
        9: "content is longer than 64 KiB; shorten it or split it into several",
    }
