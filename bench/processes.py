"""Programs that measure something on their own and say what in lines of JSON; each ends with its standard input."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
INTEROP, PEERS = ROOT / "tests" / "interop", ROOT / "bench" / "peers"


class Program:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def heard(self) -> dict[str, Any]:
        """The next line that it says. Raises `RuntimeError` if it ends without one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.process.args!r} ended with {self.process.wait()}")
        return dict(json.loads(line))

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()


@contextmanager
def running(command: Sequence[object], cwd: Path = ROOT) -> Iterator[Program]:
    """Let it run until the block ends."""
    pipe = subprocess.PIPE
    with subprocess.Popen(list(map(str, command)), cwd=cwd, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        try:
            yield Program(process)
        finally:
            process.stdin.close()


def said(command: Sequence[object], cwd: Path = ROOT) -> dict[str, Any]:
    """What a program says that says one thing."""
    with running(command, cwd) as program:
        return program.heard()


def python(module: str, *arguments: object) -> list[object]:
    return [sys.executable, "-m", module, *arguments]


def node(file: Path, *arguments: object) -> list[object]:
    return ["node", file, *arguments]


def installed(folder: Path, package: str) -> bool:
    """Whether npm put a package there."""
    return shutil.which("node") is not None and (folder / "node_modules" / package).is_dir()
