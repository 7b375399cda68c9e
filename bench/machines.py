"""Machines of one person, each a home in a folder of its own and a gateway in a process of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from crow_plugins.keyring import Keyring

CROW = (sys.executable, "-m", "crow_plugins")
# What pip installs is compiled; in a checkout the first run compiles it, unless the environment forbids to keep that.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
SEED = b"\x11" * 32  # the same for all: they are one person's
STOP_SECONDS_MAX = 60.0


class Machine:
    """One installation with a gateway on a port of its own; `process` is the gateway's while it serves."""

    def __init__(self, home: Path) -> None:
        """Makes the home where there is none."""
        self.home, self.name = home, home.name
        if not home.exists():
            home.mkdir(mode=0o700)
            Keyring.create(home, name=home.name, role="home", now=int(time.time()), seed=SEED)
        self.identity = Keyring.load(home).identity
        self.id = self.identity.instance_id
        self._port = _kept_port(home.with_suffix(".port"))
        self.url = f"http://127.0.0.1:{self._port}"
        self.process: subprocess.Popen[str] | None = None

    def crow(self, *arguments: str) -> str:
        command = [*CROW, *arguments, "--home", str(self.home)]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=ENVIRONMENT).stdout

    def token(self) -> str:
        """For an assistant of this machine."""
        return str(json.loads(self.crow("token", "create", f"bench {time.time_ns()}", "--json"))["token"])

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Serve until the block ends; it begins when the gateway answers."""
        command = [*CROW, "serve", "--home", str(self.home), "--port", str(self._port), "--json"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True, env=ENVIRONMENT) as process:
            self.process = process
            assert process.stdout is not None
            if not process.stdout.readline():
                raise RuntimeError(f"the gateway of {self.name} did not start")
            try:
                yield
            finally:
                process.terminate()
                process.wait(STOP_SECONDS_MAX)
                self.process = None

    def reader(self) -> apsw.Connection:
        return apsw.Connection(str(self.home / "crow.db"), flags=apsw.SQLITE_OPEN_READONLY)


def _kept_port(file: Path) -> int:
    """One that was free when the machine was made: the others know it by that, also in a later run."""
    if not file.exists():
        file.write_text(str(_free_port()))
    return int(file.read_text())


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
