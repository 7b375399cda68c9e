"""A gateway in a process of its own, started as a person starts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CROW = [sys.executable, "-m", "crow_plugins"]
STOP_SECONDS_MAX = 20


@dataclass(frozen=True)
class Gateway:
    """Where it answers, and a token that may do everything."""

    process: subprocess.Popen[str]
    mcp: str
    token: str

    @property
    def base_url(self) -> str:
        return self.mcp.removesuffix("/mcp")

    def stop(self) -> int:
        """Ask it to stop; returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise


def crow(home: Path, *arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [*CROW, *arguments, "--home", str(home)],
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, **environment},
    )


@contextmanager
def running_gateway(home: Path, *arguments: str) -> Iterator[Gateway]:
    """Serve on a free port until the block ends."""
    made = crow(home, "token", "create", f"tests {os.urandom(4).hex()}", "--json")
    assert made.returncode == 0, made.stderr
    command = [*CROW, "serve", "--home", str(home), "--port", "0", "--json", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the gateway did not start"
        gateway = Gateway(process, json.loads(line)["mcp"], json.loads(made.stdout)["token"])
        try:
            yield gateway
        finally:
            if process.poll() is None:
                gateway.stop()
