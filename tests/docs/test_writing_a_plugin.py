"""The tutorial, walked through as written: every file in its place, every command in turn, every answer as shown."""

from __future__ import annotations

import ast
import asyncio
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_hooks import Check, Summary
from crow_plugins.host import Host
from tests.tool_calls import call

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "writing-a-plugin.md"
PACKAGE = "crow_reading_list"
BLOCK = re.compile(r"(?:\*\*`(?P<file>\S+)`\*\*\n)?```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
INSTALL = "pip install --editable ."


@dataclass(frozen=True)
class Author:
    """Somebody who follows the page: a folder for the package and a home directory."""

    folder: Path
    home_directory: Path

    @property
    def home(self) -> Path:
        return self.home_directory / ".crow"

    def write(self, name: str, text: str) -> None:
        file = self.home_directory / name[2:] if name.startswith("~/") else self.folder / name
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_text(text)

    def type(self, command: str) -> str:
        if command == INSTALL:
            return self.install()
        if command == "pip install pytest":
            return ""  # it is what runs this
        environment = {
            **os.environ,
            "HOME": str(self.home_directory),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": os.pathsep.join([str(self.folder), str(ROOT), str(ROOT / "hooks")]),
        }
        environment.pop("CROW_HOME", None)
        done = subprocess.run(
            shlex.split(command), cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout or done.stderr

    def install(self) -> str:
        """What an editable install leaves on the path, without the network: the entry points of the package."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        facts = self.folder / f"{PACKAGE}-{project['version']}.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
        )
        lines = [
            line
            for group, points in project["entry-points"].items()
            for line in (f"[{group}]", *(f"{name} = {target}" for name, target in points.items()))
        ]
        (facts / "entry_points.txt").write_text("\n".join(lines))
        return ""


def blocks() -> list[tuple[str | None, str, str]]:
    """The page's blocks in order: the file it is, its language, its text."""
    return [(match["file"], match["language"], match["text"]) for match in BLOCK.finditer(PAGE.read_text())]


def exchanges(console: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the answer shown below it."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, answer = part.partition("\n")
        yield command, answer


def looks_like(shown: str, real: str) -> bool:
    """Whether an answer is as shown, where … stands for anything on a line."""
    pattern = r"\n".join(
        ".*".join(re.escape(piece) for piece in line.rstrip().split("…")) for line in shown.splitlines()
    )
    return re.fullmatch(pattern, "\n".join(line.rstrip() for line in real.splitlines()), re.DOTALL) is not None


@pytest.fixture(scope="module")
def author(tmp_path_factory: pytest.TempPathFactory) -> Author:
    """The page, followed to its end."""
    folder = tmp_path_factory.mktemp("author")
    author = Author(folder / "reading-list", folder / "person")
    author.folder.mkdir()
    author.home_directory.mkdir()
    for file, language, text in blocks():
        if file is not None:
            author.write(file, text)
        elif language == "console":
            for command, shown in exchanges(text):
                answer = author.type(command)
                assert not shown or looks_like(shown, answer), f"$ {command}\n{answer}"
    return author


@pytest.fixture
def host(author: Author, monkeypatch: pytest.MonkeyPatch, open_host: Callable[..., Host]) -> Iterator[Host]:
    """The author's installation, opened in this process."""
    monkeypatch.syspath_prepend(author.folder)
    yield open_host(author.home)
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def rows(host: Host, table: str) -> int:
    with host.read() as db:
        return int(db.execute_sql(f"SELECT count(*) FROM {table}").fetchone()[0])


def kept(host: Host) -> list[int]:
    """How many books there are, of how many rows the history is known, and how far the clock is."""
    with host.read() as db:
        lamport = int(db.execute_sql("SELECT lamport FROM clock").fetchone()[0])
    return [rows(host, "books"), rows(host, "row_versions"), lamport]


def test_the_page_can_be_followed_to_its_end(author: Author) -> None:
    assert (author.folder / PACKAGE / "interchange.py").exists()


def test_every_block_of_the_page_is_a_file_or_a_console() -> None:
    assert [language for file, language, _ in blocks() if file is None and language != "console"] == []


def test_the_plugin_imports_the_contract_and_nothing_else_of_ours(author: Author) -> None:
    for file in (author.folder / PACKAGE).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                allowed = {PACKAGE, "crow_hooks", "fastmcp", "peewee", "pydantic"}
                assert top in allowed or top in sys.stdlib_module_names, f"{file.name} imports {name}"


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_of_either_era_adds_finds_finishes_and_removes(host: Host, mode: Any) -> None:
    async with Client(host.server, mode=mode) as client:
        first = (await call(client, "reading_list_books"))["books"][0]
        await call(client, "reading_finish_book", id=first["id"])
        added = await call(client, "reading_add_book", title="The Living Mountain", author="Nan Shepherd")
        found = await call(client, "crow_search", query="shepherd mountain", kinds=["book"])
        assert [hit["id"] for hit in found["items"]] == [added["id"]]
        assert added["origin_instance"] == host.instance.id
        assert added["lamport_ts"] > first["lamport_ts"]
        await call(client, "reading_remove_book", id=added["id"])
        with pytest.raises(ToolError, match="not_found: no book"):
            await client.call_tool("reading_finish_book", {"id": added["id"]})


@pytest.mark.anyio
async def test_raising_in_on_local_write_leaves_nothing_of_the_row(host: Host) -> None:
    async with Client(host.server) as client:
        while not (await client.call_tool("reading_add_book", {"title": "More"}, raise_on_error=False)).is_error:
            pass
        before = await asyncio.to_thread(kept, host)
        with pytest.raises(ToolError, match="too_many_unread: 2 unread books"):
            await client.call_tool("reading_add_book", {"title": "One too many"})
        assert await asyncio.to_thread(kept, host) == before


def test_its_summary_and_check_are_there_with_the_others(host: Host) -> None:
    summaries = {summary.kind: summary for _, summary in host.contributions("register_summary", Summary)}
    checks = {check.name: check for _, check in host.contributions("register_checks", Check)}
    with host.read() as db:
        assert summaries["unread_books"].collect(db) == rows(host, "books WHERE finished_at IS NULL")
    assert checks["reading list"].run().ok


def test_an_import_that_breaks_the_rule_takes_the_others(author: Author) -> None:
    lines = [
        '{"kind": "book", "title": "Read before", "finished_at": 1700000000}',
        '{"kind": "book", "title": "Never read", "author": 7}',
    ]
    (author.folder / "more.jsonl").write_text("\n".join(lines))
    for option, count in (("--dry-run", 0), ("", 1)):
        with pytest.raises(AssertionError, match="1 line was left out and 1 taken"):
            author.type(f"crow import more.jsonl {option}")
        assert author.type("crow books list").count("[x] Read before") == count


def test_what_the_page_says_of_misfits_is_what_is_said(author: Author) -> None:
    module = author.folder / PACKAGE / "__init__.py"
    manifest = author.home / "plugin_manifest.toml"
    good, settings = module.read_text(), manifest.read_text()
    cases = [
        (good.replace("def on_local_write(", "def on_local_wriet("), settings, "unknown hook 'on_local_wriet'"),
        (good.replace("change: Change, transaction", "row: Change, transaction"), settings, r"Argument\(s\) {'row'}"),
        (good, settings.replace("unread_max", "unread_maximum"), "unknown setting unread_maximum; did you mean unread"),
        (
            good.replace(
                "return reading_tools(Books(crow))",
                "s = reading_tools(Books(crow)); s.tool(crow.now, name='crow_search'); return s",
            ),
            settings,
            "the tool crow_search is one of host already",
        ),
    ]
    try:
        for code, said, sentence in cases:
            module.write_text(code)
            manifest.write_text(said)
            with pytest.raises(AssertionError, match=sentence) as caught:
                author.type("crow plugins check")
            assert "plugin reading_list" in str(caught.value)
            assert "Traceback" not in str(caught.value)
    finally:
        module.write_text(good)
        manifest.write_text(settings)
