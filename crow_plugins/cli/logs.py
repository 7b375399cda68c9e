"""The gateway's log: its last lines, and those to come."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Annotated, BinaryIO

from cyclopts import App, Parameter

from crow_hooks import CrowError
from crow_plugins.cli.terminal import ATerminal
from crow_plugins.files import FileFault

POLL_SECONDS = 0.2
LINE_BYTES_MAX = 1 << 20  # what is longer is shown in parts


class NoLog(CrowError):
    """No gateway has written a log in this home."""

    code = "no_log"

    def __init__(self, file: Path) -> None:
        super().__init__(f"there is no log {file} yet; a gateway writes it once it runs: crow serve")


def add_to(app: App) -> None:
    app.command(logs)


def logs(
    *,
    follow: Annotated[bool, Parameter(help="Go on with what is logged from now on.", negative=())] = False,
    lines: Annotated[int, Parameter(help="How many lines of what was logged.")] = 50,
    terminal: ATerminal,
) -> None:
    """Show the last lines that the gateway logged."""
    terminal.home.check()
    log = Log(terminal.home.gateway_log)
    try:
        shown = log.last(max(0, lines))
        while True:
            for line in shown:
                terminal.answer(line, line)
            terminal.out.file.flush()
            if not follow:
                return
            time.sleep(POLL_SECONDS)
            shown = log.fresh()
    finally:
        log.close()


class Log:
    """A log file that is renamed to `.1`, `.2` and so on as it grows, read line by line. Raises `NoLog`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._begun = b""
        try:
            self._open: BinaryIO = file.open("rb")
        except FileNotFoundError:
            raise NoLog(file) from None
        except OSError as error:
            raise FileFault(file, error) from error

    def last(self, lines: int) -> list[str]:
        """The last so many lines, older files included; the next call of `fresh` goes on after them."""
        found = deque(self._read(self._open), lines)
        for older in self._older():
            if len(found) >= lines:
                break
            with suppress(FileNotFoundError), older.open("rb") as file:  # it was dropped just now
                if not self._is_open(file):  # renamed just now
                    found.extendleft(reversed(deque(file, lines - len(found))))
        return [_text(line) for line in found]

    def fresh(self) -> list[str]:
        """What was written since, across renamings."""
        found = list(self._read(self._open))
        for file in self._successors():
            # Between the read above and the renaming more may have been written.
            found += self._read(self._open)
            self._open.close()
            self._open = file
            found += self._read(file)
        return [_text(line) for line in found]

    def close(self) -> None:
        self._open.close()

    def _read(self, file: BinaryIO) -> Iterator[bytes]:
        """Whole lines; the beginning of one that is being written waits for its end."""
        while line := file.readline(LINE_BYTES_MAX):
            line, self._begun = self._begun + line, b""
            if line.endswith(b"\n") or len(line) >= LINE_BYTES_MAX:
                yield line
            else:
                self._begun = line

    def _is_open(self, file: BinaryIO) -> bool:
        return os.path.sameopenfile(file.fileno(), self._open.fileno())

    def _older(self) -> Iterator[Path]:
        for number in count(1):
            path = self._file.with_name(f"{self._file.name}.{number}")
            if not path.exists():
                return
            yield path

    def _successors(self) -> list[BinaryIO]:
        """The files written after the one that is open, oldest first, opened."""
        newer: list[BinaryIO] = []
        for path in (self._file, *self._older()):
            try:
                file = path.open("rb")
            except FileNotFoundError:  # a renaming is under way: look again next time
                _close(newer)
                return []
            if self._is_open(file):
                file.close()
                break
            newer.append(file)
        return newer[::-1]


def _close(files: list[BinaryIO]) -> None:
    for file in files:
        file.close()


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
