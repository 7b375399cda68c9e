"""Rows out and in as JSON Lines: one object a line, its `kind` says whose it is.

Lines of one kind that stand together go to their plugin as one stream, which writes in batches; a line that cannot
be taken is left out and told of, with its number and the reason. Files of other programs are read by the importers
that plugins bring.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

from cyclopts import App, Parameter

from crow_hooks import CrowError, Data, Format, Skipped
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.files import FileExists
from crow_plugins.host import Host
from crow_plugins.manifest import nearest
from crow_plugins.rows import Importer
from crow_plugins.wording import plural

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_BYTES_MAX = 1 << 20  # four times the largest row
REASONS_SHOWN = 10
ROWS_A_STEP = 100


class FileUnusable(CrowError):
    """A file cannot be read or written."""

    code = "file_unusable"

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"{file} cannot be used: {reason}; check the name and its permissions")


class SomeSkipped(CrowError):
    """An import left something out; the rest is in."""

    code = "some_skipped"

    def __init__(self, count: int, taken: int, item: str) -> None:
        items = f"{item[:-1]}ies" if item.endswith("y") else f"{item}s"
        left = plural(count, f"{item} was", f"{items} were")
        what = item if count == 1 else items
        super().__init__(f"{left} left out and {taken} taken; correct the {what} named above and import again")


AFile = Annotated[Path, Parameter(allow_leading_hyphen=True)]  # for -, which is no option


def add_to(app: App) -> None:
    app.command(import_rows, name="import")
    app.command(export_rows, name="export")


def export_rows(
    file: AFile,
    /,
    *,
    kind: Annotated[tuple[str, ...], Parameter(help="Only this kind of row.")] = (),
    terminal: ATerminal,
) -> None:
    """Write everything kept here to a file, one JSON object a line.

    Parameters
    ----------
    file
        Where to; - for standard output. A file that exists is left alone.
    """
    with terminal.open() as host:
        formats = _formats(host)
        for name in kind:
            _known(name, formats)
        chosen = {id(each): each for name, each in formats.items() if not kind or name in kind}.values()
        with _written(file) as out, _progress(terminal, None) as advance:
            count = 0
            for record in _wanted(chosen, kind):
                out.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")
                count += 1
                advance(1)
    if file != Path("-"):
        terminal.answer({"exported": count, "file": str(file)}, f"Exported {plural(count, 'row')} to {file}")


def import_rows(
    file: AFile,
    /,
    *,
    format: Annotated[str | None, Parameter(help="What another program wrote: bibtex, markdown, …")] = None,
    dry_run: Annotated[bool, Parameter(help="Check everything and change nothing.", negative=())] = False,
    terminal: ATerminal,
) -> None:
    """Take rows from a file as `crow export` writes it, or as another program does. What is here stays as it is.

    Parameters
    ----------
    file
        Where from; - for standard input, and a folder for a format that reads folders.
    """
    report = Report()
    with terminal.open() as host:
        if format is None:
            with _read(file) as source, _progress(terminal, source) as advance:
                for result in take(source, _formats(host), dry_run=dry_run):
                    report.add(result)
                    advance(1)
        else:
            importer = _importer(host, format)
            report.item = importer.item
            with _faults_of(file), _progress(terminal, None) as advance:
                os.close(os.open(file, os.O_RDONLY))
                for result in importer.take(file, dry_run):
                    report.add(result)
                    advance(1)
    _tell(terminal, report, dry_run)


@dataclass
class Report:
    """What became of the lines, or of whatever the items of a file are."""

    item: str = "line"
    taken: int = 0
    here: int = 0
    skipped: list[Skipped] = field(default_factory=list)

    def add(self, result: Skipped | None) -> None:
        if result is None:
            self.taken += 1
        elif result.here:
            self.here += 1
        else:
            self.skipped.append(result)


def take(source: BinaryIO, formats: dict[str, Format], *, dry_run: bool) -> Iterator[Skipped | None]:
    """What became of each line of `source`, in order; positions are line numbers from 1."""
    parsed = (_parsed(number, line, formats) for number, line in _lines(source))
    for kind, group in itertools.groupby(parsed, key=lambda item: item[1] and item[1]["kind"]):
        if kind is None:
            yield from (reason for _, _, reason in group)
            continue
        numbers: deque[int] = deque()
        for result in formats[str(kind)].read(_records(group, numbers), dry_run):
            number = numbers.popleft()
            yield Skipped(number, result.reason, here=result.here) if result else None


Parsed = tuple[int, Data | None, Skipped | None]


def _records(group: Iterable[Parsed], numbers: deque[int]) -> Iterator[Data]:
    for number, record, _ in group:
        numbers.append(number)
        yield record or {}


def _lines(source: BinaryIO) -> Iterator[tuple[int, bytes]]:
    for number in itertools.count(1):
        line = source.readline(LINE_BYTES_MAX + 1)
        if not line:
            return
        if len(line) > LINE_BYTES_MAX:
            _skip_to_line_end(source, line)
        if line.strip():
            yield number, line


def _skip_to_line_end(source: BinaryIO, part: bytes) -> None:
    while part and not part.endswith(b"\n"):
        part = source.readline(LINE_BYTES_MAX)


def _parsed(number: int, line: bytes, formats: dict[str, Format]) -> Parsed:
    if len(line) > LINE_BYTES_MAX:
        return number, None, Skipped(number, f"is longer than {LINE_BYTES_MAX} bytes")
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return number, None, Skipped(number, "is not JSON")
    if not isinstance(record, dict):
        return number, None, Skipped(number, "is not a JSON object")
    kind = record.get("kind")
    if kind not in formats:
        return number, None, Skipped(number, f"has no kind that is known here{nearest(str(kind), formats)}")
    return number, record, None


def _formats(host: Host) -> dict[str, Format]:
    """By kind, of the plugins that are on."""
    return {
        kind: each
        for plugin, each in host.contributions("register_formats", Format)
        if host.is_enabled(plugin)
        for kind in each.kinds
    }


class UnknownFormat(CrowError):
    """No plugin that is on reads such files."""

    code = "unknown_format"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no format {name}{nearest(name, known)}")


def _importer(host: Host, name: str) -> Importer:
    known = {
        each.name: each
        for plugin, each in host.contributions("register_formats", Format)
        if host.is_enabled(plugin) and isinstance(each, Importer)
    }
    if name not in known:
        raise UnknownFormat(name, known)
    return known[name]


@contextmanager
def _faults_of(file: Path) -> Iterator[None]:
    """What the system says of a file, or of one in a folder, as an error of ours."""
    try:
        yield
    except FileExistsError:
        raise FileExists(file) from None
    except OSError as error:
        raise FileUnusable(Path(error.filename or file), error.strerror or str(error)) from error


class UnknownKind(CrowError):
    """There is no such kind of row here."""

    code = "unknown_kind"

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        super().__init__(f"there is no kind {kind}{nearest(kind, known)}")


def _known(kind: str, formats: dict[str, Format]) -> None:
    if kind not in formats:
        raise UnknownKind(kind, formats)


def _wanted(formats: Iterable[Format], kinds: tuple[str, ...]) -> Iterator[Data]:
    for each in formats:
        yield from (record for record in each.write() if not kinds or record["kind"] in kinds)


@contextmanager
def _read(file: Path) -> Iterator[BinaryIO]:
    if file == Path("-"):
        yield sys.stdin.buffer
        return
    if file.is_dir():
        raise FileUnusable(file, "it is a folder, which needs a --format that reads folders")
    with _faults_of(file):
        source = file.open("rb")
    with source:
        yield source


@contextmanager
def _written(file: Path) -> Iterator[BinaryIO]:
    if file == Path("-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with _faults_of(file):
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        yield out


@contextmanager
def _progress(terminal: Terminal, source: BinaryIO | None) -> Iterator[Callable[[int], None]]:
    """A bar over the bytes of a file, or a count where there is no end to see."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        TextColumn("{task.fields[rows]:,} rows"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    size = os.fstat(source.fileno()).st_size if source is not None and source.seekable() else None
    with Progress(*columns, console=terminal.err, transient=True, disable=not terminal.err.is_terminal) as progress:
        task = progress.add_task("", total=size, rows=0, rate="")
        rows = 0

        def advance(count: int) -> None:
            nonlocal rows
            rows += count
            if rows % ROWS_A_STEP == 0:
                _show(progress, task, rows, source.tell() if size and source else None)

        yield advance


def _show(progress: Progress, task: TaskID, rows: int, position: int | None) -> None:
    elapsed = progress.tasks[task].elapsed or 0
    rate = f"{rows / elapsed:,.0f} rows/s" if elapsed else ""
    progress.update(task, rows=rows, rate=rate, completed=position)


def _tell(terminal: Terminal, report: Report, dry_run: bool) -> None:
    skipped = [{report.item: each.position, "reason": each.reason} for each in report.skipped]
    answer = {"imported": report.taken, "already_here": report.here, "skipped": skipped, "dry_run": dry_run}
    verb = "Would import" if dry_run else "Imported"
    here = f"{plural(report.here, 'is', 'are')} here already"
    left = f"{plural(len(skipped), 'was', 'were')} left out"
    terminal.answer(answer, f"{verb} {plural(report.taken, 'row')}; {here}, {left}")
    if not terminal.json:
        for each in report.skipped[:REASONS_SHOWN]:
            terminal.say(f"{report.item} {each.position}: {each.reason}")
        if len(skipped) > REASONS_SHOWN:
            terminal.say(f"and {len(skipped) - REASONS_SHOWN} more; --json lists them all")
    if skipped:
        raise SomeSkipped(len(skipped), report.taken, report.item)
