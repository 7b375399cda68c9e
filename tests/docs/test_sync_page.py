"""Each line that the replicator logs stands in docs/sync.md with what it means, each reason to park an entry too."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "sync.md").read_text()
FILES = sorted((ROOT / "crow_plugins" / "replicator").glob("*.py"))
OTHERS = ("unknown_table", "impossible", "breaks_schema", "malformed", "newer_format")  # named elsewhere
LEVELS = {"info", "warning", "error", "exception"}


def calls(name: str) -> Iterator[ast.Call]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[0] == name:
                yield node


def logged() -> list[str]:
    """The words of each line, without the values in it."""
    lines = {
        str(call.args[0].value)
        for call in calls("log")
        if isinstance(call.func, ast.Attribute) and call.func.attr in LEVELS and isinstance(call.args[0], ast.Constant)
    }
    return sorted(re.split(r" \w+=%|: %|%", line)[0].strip() for line in lines)


def reasons() -> list[str]:
    return sorted({str(call.args[0].value) for call in calls("Parked") if isinstance(call.args[0], ast.Constant)})


@pytest.mark.parametrize("line", logged())
def test_a_line_of_the_log_is_explained(line: str) -> None:
    assert f"`{line}" in PAGE.split("## What the log says")[1]


@pytest.mark.parametrize(
    "reason", [*reasons(), "unknown_table", "impossible", "breaks_schema", "malformed", "newer_format"]
)
def test_a_reason_to_park_an_entry_is_explained(reason: str) -> None:
    assert f"`{reason}`" in PAGE.split("## Parked entries")[1].split("\n## ")[0]
