"""`crow`, run in a process that has everything imported already: a test that needs many runs cannot wait for each.

Every run is a process of its own, forked from one that did nothing but import. It is told its home, its arguments and
its environment as `crow` is, and may be killed as any process may. Where the command line itself is looked at, use
`tests.gateway_process`, which starts Python anew.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from crow_plugins.cli import main

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["pytest", "tests.warm_imports"])
DEADLINE_SECONDS = 60


@dataclass
class Run:
    """A `crow` that runs, or has run; what it writes to stderr goes to a file."""

    process: ForkServerProcess
    out: io.TextIOWrapper
    err: Path

    def answer(self) -> dict[str, Any]:
        """The next line that it prints, as JSON."""
        line = self.out.readline()
        assert line, self.err.read_text()
        said: dict[str, Any] = json.loads(line)
        return said

    def ended(self) -> int:
        """Its exit code, once it has ended; negative when it was killed by a signal."""
        self.process.join(DEADLINE_SECONDS)
        assert self.process.exitcode is not None, f"it goes on: {self.err.read_text()}"
        return self.process.exitcode

    def stop(self) -> int:
        if self.process.is_alive():
            assert self.process.pid is not None
            os.kill(self.process.pid, signal.SIGTERM)
        return self.ended()


@contextmanager
def running(home: Path, *arguments: str, before: Callable[[], None] | None = None, **environment: str) -> Iterator[Run]:
    """Run `crow` until the block ends; `before` is a function of a module, called in the new process first."""
    err = home.parent / f"stderr of {home.name} {os.urandom(4).hex()}"
    reader, writer = FORKING.Pipe(duplex=False)
    process = FORKING.Process(target=_run, args=([*arguments, "--home", str(home)], environment, writer, err, before))
    process.start()
    writer.close()
    with reader, os.fdopen(os.dup(reader.fileno())) as out:
        run = Run(process, out, err)
        try:
            yield run
        finally:
            run.stop()
            process.close()


def crow(home: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    """Run the command to its end: exit code, stdout, stderr."""
    with running(home, *arguments, before=None, **environment) as run:
        said = run.out.read()
        return run.ended(), said, run.err.read_text()


def _run(
    arguments: list[str], environment: dict[str, str], out: Connection, err: Path, before: Callable[[], None] | None
) -> None:
    os.environ.update(environment)
    os.dup2(out.fileno(), 1)
    out.close()
    written = os.open(err, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(written, 2)
    os.close(written)
    sys.stdout, sys.stderr = os.fdopen(os.dup(1), "w"), os.fdopen(os.dup(2), "w", buffering=1)
    sys.argv = ["crow", *arguments]
    if before is not None:
        before()
    try:
        main()
    finally:
        sys.stdout.close()
        sys.stderr.flush()
