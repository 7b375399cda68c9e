"""A room imports only what lies below it: read from the imports of every file, late ones included."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = {
    "registry",
    "replicator",
    "federation",
    "summaries",
    "nest",
    "field_merge",
    "memories",
    "projects",
    "blog",
    "contacts",
    "settings",
}
FLOORS = [
    {"feed", "causality", "identity", "token", "limits"},
    {
        *("store", "dispatch", "manifest", "config", "keyring", "files", "bearer", "units", "overrides"),
        *("premises", "callers", "lease", "running", "outbound", "fulltext", "rows", "joining", "manifest_lines"),
        *("ticking", "wording", "remarks"),
    },
    PLUGINS,
]
PURE_FORBIDDEN = {"asyncio", "socket", "time", "random", "secrets", "httpx2", "starlette", "fastmcp", "peewee", "apsw"}


def floor(room: str) -> int:
    """1 for the pure rooms, 2 for shared machinery, 3 for plugins, 4 for what loads them."""
    return next((number for number, rooms in enumerate(FLOORS, 1) if room in rooms), 4)


def source_files() -> list[Path]:
    return sorted((ROOT / "crow_plugins").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "crow_plugins").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", source_files(), ids=str)
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = room_of(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "crow_plugins" or len(parts) < 2 or parts[1] in (room, "__version__"):
            continue  # the release number is no room
        below, here = floor(parts[1]), floor(room)
        assert below < here or (below == here and here in (1, 2, 4)), f"{room} imports {name}"
        assert here == 4 or parts[1] not in PLUGINS, f"{room} imports the plugin {parts[1]}"


@pytest.mark.parametrize("path", [path for path in source_files() if floor(room_of(path)) == 1], ids=str)
def test_pure_rooms_import_no_clock_loop_network_or_database(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & PURE_FORBIDDEN


@pytest.mark.parametrize("path", sorted((ROOT / "hooks" / "crow_hooks").glob("*.py")), ids=str)
def test_the_contract_imports_the_standard_library_and_pluggy_only(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in for_types or not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
        for name in names:
            assert name.split(".")[0] in {*sys.stdlib_module_names, "pluggy", "crow_hooks"}, name


def test_the_contract_is_never_imported_under_its_folder_name() -> None:
    """`hooks.crow_hooks` would be a second copy, with other classes."""
    for path in [*source_files(), *(ROOT / "tests").rglob("*.py")]:
        assert not any(name.split(".")[0] == "hooks" for name in imported(path)), path
