"""Folders of Markdown files in: two thousand of them as one project, and what a file says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import Data, Skipped
from crow_plugins.projects.markdown import notes
from tests.gateway_process import crow

FILES = 2000
ROW = "33333333-3333-4333-8333-333333333333"
ID_OF_FILE = "4612f5f2-2a69-5c2d-8dfd-d19947cfcae1"  # of file.md; it never changes, or files would come in again


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A vault: three kinds of files in twenty folders, ten that cannot be taken, and what is none of them."""
    vault = tmp_path / "Vault"
    for number in range(FILES):
        file = vault / f"part {number % 20}" / f"note {number}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text(number))
        os.utime(file, (1_700_000_000 + number,) * 2)
    (vault / ".obsidian").mkdir()
    (vault / ".obsidian" / "hidden.md").write_text("hidden")
    (vault / "picture.png").write_bytes(b"\x89PNG")
    (vault / "link.md").symlink_to(vault / "part 0" / "note 0.md")
    return vault


def text(number: int) -> bytes:
    if number % 400 == 7:
        return b"---\ntags: [unclosed\n---\nx\n"
    if number % 400 == 8:
        return "Krähe".encode("latin-1")
    if number % 3 == 0:
        front = f"title: Note {number}\ntags: [crow, n{number % 7}]\ncreated: 2024-03-05"
        return f"---\n{front}\n---\nBody [[link]]\n".encode()
    if number % 3 == 1:
        return f"# Heading {number}\n\nBody of {number} with ünïcode 🦆\n".encode()
    return f"Only text {number}\n".encode()


def answer(home: Path, *arguments: str, code: int = 0) -> Any:
    done = crow(home, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def test_two_thousand_files_become_the_notes_of_a_project_and_come_out_the_same(
    folder: Path, home: Path, make_home: Callable[[str], Path], tmp_path: Path
) -> None:
    rehearsed = answer(home, "import", str(folder), "--format", "markdown", "--dry-run", code=1)
    assert crow(home, "export", "-").stdout == ""
    done = answer(home, "import", str(folder), "--format", "markdown", code=1)
    assert done == {**rehearsed, "dry_run": False}
    assert (done["imported"], len(done["skipped"])) == (FILES - 10, 10)
    assert {each["reason"].split(" ", 3)[3] for each in done["skipped"]} == {
        "begins with front matter that is not YAML; correct it",
        "is not text in UTF-8; save it as such",
    }
    exported = tmp_path / "all.jsonl"
    answer(home, "export", str(exported))
    rows = [json.loads(line) for line in exported.read_text().splitlines()]
    [project] = [row for row in rows if row["kind"] == "project"]
    titled = {row["title"]: row for row in rows if row["kind"] == "note"}
    assert (project["name"], len(titled)) == ("Vault", FILES - 10)
    assert {row["project_id"] for row in titled.values()} == {project["id"]}
    front, heading, plain = titled["Note 3"], titled["Heading 4"], titled["note 5"]
    assert (front["content"], front["tags"], front["created_at"]) == ("Body [[link]]", ["crow", "n3"], 1_709_596_800)
    assert (front["updated_at"], plain["created_at"]) == (1_700_000_003, 1_700_000_005)
    assert heading["content"] == "# Heading 4\n\nBody of 4 with ünïcode 🦆"
    assert plain["content"] == "Only text 5"

    again = answer(home, "import", str(folder), "--format", "markdown", code=1)
    assert (again["imported"], again["already_here"]) == (0, FILES - 10)
    swan = make_home("swan")
    assert answer(swan, "import", str(exported))["imported"] == len(rows)
    assert crow(swan, "export", "-").stdout == exported.read_text()


def test_a_file_that_changed_since_is_told_of_and_overwrites_nothing(home: Path, tmp_path: Path) -> None:
    file = tmp_path / "notes" / "one.md"
    file.parent.mkdir()
    file.write_text("first")
    answer(home, "import", str(file.parent), "--format", "markdown")
    file.write_text("second")
    refused = crow(home, "import", str(file.parent), "--format", "markdown")
    assert (refused.returncode, "is here with other content" in refused.stderr) == (1, True)
    assert '"content": "first"' in crow(home, "export", "-").stdout


def test_progress_and_what_was_left_out_are_shown_to_a_person(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.md").write_text("")
    (folder / "good.md").write_text("good")
    told = crow(home, "import", str(folder), "--format", "markdown")
    assert told.stdout == "Imported 1 row; 0 are here already, 12 were left out\n"
    assert "file 1: notes/00.md has no text" in told.stderr
    assert "and 2 more; --json lists them all" in told.stderr
    assert "12 files were left out and 1 taken; correct the files named above and import again" in told.stderr


def one(file: Path, content: str) -> Data | Skipped:
    file.write_text(content)
    [record] = notes(file, None)
    return record


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        ("---\n---\nx", {"content": "x", "title": "file"}),
        (
            '---\ntitle: 2024\ntags: "a, #b"\nkind: idea\n---\nx',
            {"title": "2024", "tags": ["a", "b"], "note_kind": "idea"},
        ),
        ("---\nid: 20240101\n---\nx", {"id": ID_OF_FILE, "content": "---\nid: 20240101\n---\nx"}),
        (f"---\nid: {ROW}\n---\nx", {"id": ROW, "content": "x"}),
        ("---\nmood: fine\n---\nx", {"content": "---\nmood: fine\n---\nx", "title": "file"}),
        ("---\n\nA rule above\n\n---\nx", {"content": "---\n\nA rule above\n\n---\nx"}),
        ("---\ncreated: 2024-03-05T01:00:00+01:00\n---\nx", {"created_at": 1_709_596_800}),
        ("---\r\ntitle: windows\r\n---\r\nx\r\n", {"title": "windows", "content": "x"}),
        (
            "---\ntitle: And then...\ntags: a ---\n...\nx",
            {"title": "And then...", "tags": ["a", "---"], "content": "x"},
        ),
        ("# " + "a" * 300 + "\nx", {"title": "a" * 199 + "…"}),
        ("#nospace is a tag", {"title": "file"}),
    ],
    ids=[
        "empty front",
        "known",
        "another program's id stays",
        "an id of ours",
        "unknown stays",
        "rules",
        "time zone",
        "windows",
        "marks",
        "long heading",
        "no heading",
    ],
)
def test_a_file_says_what_it_is(tmp_path: Path, content: str, fields: dict[str, object]) -> None:
    record = one(tmp_path / "file.md", content)
    assert not isinstance(record, Skipped)
    assert {name: record.get(name) for name in fields} == fields


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("---\ntitle: x\n---\n", "file.md has no text"),
        ("---\n: : [\n---\nx", "file.md begins with front matter that is not YAML; correct it"),
        (
            "---\na: &a [*a]\n" + "[" * 2000 + "\n---\nx",
            "file.md begins with front matter that is not YAML; correct it",
        ),
        ("x" * (1 << 20) + "x", "file.md is longer than 1 MiB; split it into several"),
    ],
    ids=["empty", "not YAML", "nested", "long"],
)
def test_a_file_that_is_no_note_is_told_of(tmp_path: Path, content: str, reason: str) -> None:
    record = one(tmp_path / "file.md", content)
    assert isinstance(record, Skipped)
    assert record.reason == reason
