"""Folders of Markdown files as notes of a project: a note a file, front matter as its fields.

A folder's files are notes, not memories: they have titles, are as long as a page, and belong together. The folder
becomes their project. A file that was imported before is known by its path inside the folder.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import yaml

from crow_hooks import Crow, Data, Invalid, Skipped
from crow_plugins.projects.note import NOTE, TITLE_MAX
from crow_plugins.projects.project import PROJECT
from crow_plugins.rows import Importer, take
from crow_plugins.rows.interchange import UUID

NAMES: Final = uuid.UUID("d0a5f7c3-92e4-5b68-8f10-7c4e1a2b3d59")  # the namespace of ids of imported files
SUFFIXES: Final = (".md", ".markdown")
FILE_BYTES_MAX = 1 << 20  # no note comes near it
FRONT = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE)
HEADING = re.compile(r"\s*#[ \t]+(.+?)[ \t#]*(?:\r?\n|$)")

CREATED, UPDATED = ("created", "created_at", "date"), ("updated", "updated_at", "modified")
KNOWN: Final = {"id", "title", "tags", "kind", "locator", "project_id", "source_id", *CREATED, *UPDATED}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the folder: where, and by which name it is known when it comes again."""

    path: Path
    name: str


def markdown(crow: Crow) -> Importer:
    def read(path: Path, dry_run: bool) -> Iterator[Skipped | None]:
        project_id = None
        if path.is_dir():
            project_id = str(uuid.uuid5(NAMES, path.resolve().name))
            project = {"id": project_id, "name": path.resolve().name}
            for _ in take(crow, PROJECT, [project], dry_run):  # it may be here already, and be called otherwise by now
                pass
        return take(crow, NOTE, notes(path, project_id), dry_run)

    return Importer.of("markdown", "file", read)


def notes(path: Path, project_id: str | None) -> Iterator[Data | Skipped]:
    """Every Markdown file, by its path, as a record of a note or with the reason why it is none."""
    for position, file in enumerate(files(path), 1):
        try:
            yield {"project_id": project_id, **record(file)}
        except Invalid as error:
            yield Skipped(position, f"{file.name} {error}")
        except OSError as error:
            yield Skipped(position, f"{file.name} cannot be read: {(error.strerror or str(error)).lower()}")


def files(path: Path) -> Iterator[File]:
    """The Markdown files of a folder and those below it; hidden ones, and what links lead to, are left alone."""
    if not path.is_dir():
        yield File(path, path.name)
        return
    found = (each for suffix in SUFFIXES for each in path.rglob(f"*{suffix}"))
    for each in sorted(found):
        inside = each.relative_to(path)
        if each.is_file() and not each.is_symlink() and not any(part.startswith(".") for part in inside.parts):
            yield File(each, f"{path.resolve().name}/{inside.as_posix()}")


def record(file: File) -> dict[str, object]:
    """A file as `crow import` takes a note. Raises `Invalid`."""
    status = file.path.stat()
    if status.st_size > FILE_BYTES_MAX:
        raise Invalid("is longer than 1 MiB; split it into several")
    try:
        text = file.path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("is not text in UTF-8; save it as such") from None
    front, body = parted(text)
    if not body.strip():
        raise Invalid("has no text")
    modified = int(status.st_mtime)
    return {
        "id": str(uuid.uuid5(NAMES, file.name)),
        "title": titled(front, body, file.path.stem),
        # Front matter that a note has no place for stays where it is.
        "content": body.strip() if _has_place(front) else text.strip(),
        "created_at": _time(front, CREATED, modified),
        "updated_at": _time(front, UPDATED, modified),
        **_fields(front),
    }


def parted(text: str) -> tuple[Mapping[str, object], str]:
    """The front matter, and what comes after it. Raises `Invalid` for one that is not YAML."""
    found = FRONT.match(text)
    if found is None:
        return {}, text
    try:
        front = yaml.safe_load(found[1])
    except (yaml.YAMLError, ValueError, RecursionError):
        raise Invalid("begins with front matter that is not YAML; correct it") from None
    if front is None:
        return {}, text[found.end() :]
    if not isinstance(front, dict):
        return {}, text  # a rule, and a text that happens to be YAML
    return {str(name): value for name, value in front.items()}, text[found.end() :]


def titled(front: Mapping[str, object], body: str, stem: str) -> str:
    """What the file calls itself: in front matter, in a heading that it begins with, or by its name."""
    heading = HEADING.match(body)
    given = front.get("title")
    title = str(given) if isinstance(given, str | int | float) else heading[1] if heading else stem
    return title if len(title) <= TITLE_MAX else title[: TITLE_MAX - 1] + "…"


def _has_place(front: Mapping[str, object]) -> bool:
    """Whether a note has a place for all of it; for the id that another program gave it has none."""
    return front.keys() <= KNOWN and ("id" not in front or _is_row_id(front["id"]))


def _is_row_id(value: object) -> bool:
    return isinstance(value, str) and UUID.fullmatch(value) is not None


def _fields(front: Mapping[str, object]) -> dict[str, object]:
    fields: dict[str, object] = {"id": front["id"]} if _is_row_id(front.get("id")) else {}
    for name in ("locator", "project_id", "source_id"):
        if isinstance(front.get(name), str | int):
            fields[name] = str(front[name])
    if "kind" in front:
        fields["note_kind"] = front["kind"]
    if "tags" in front:
        fields["tags"] = _tags(front["tags"])
    return fields


def _tags(value: object) -> list[str]:
    """A list, or words with commas or spaces between them; a number is a tag too."""
    given = re.split(r"[,\s]+", value) if isinstance(value, str) else value if isinstance(value, list) else [value]
    return [str(each).strip().removeprefix("#") for each in given if isinstance(each, str | int | float)]


def _time(front: Mapping[str, object], names: tuple[str, ...], otherwise: int) -> int:
    """Unix seconds of the first of these that is a time; a day begins at midnight UTC."""
    for value in (front.get(name) for name in names):
        if isinstance(value, datetime):
            return max(0, int((value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()))
        if isinstance(value, date):
            return max(0, int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp()))
    return max(0, otherwise)
