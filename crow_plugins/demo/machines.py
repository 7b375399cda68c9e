"""The machines of the demonstration: gateways in processes of their own, on loopback, in a throw-away folder."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport

from crow_hooks import CrowError
from crow_hooks.types import Role
from crow_plugins import bearer
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring

CROW = (sys.executable, "-m", "crow_plugins")
STOP_SECONDS = 20.0


class DidNotStart(CrowError):
    """A gateway of the demonstration did not start."""

    code = "demo_not_started"

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"the demonstration's gateway {name} did not start: {reason or 'it said nothing'}")


class Machine:
    """One of them: a home, and a gateway while it runs."""

    def __init__(self, home: Path, name: str, token: str) -> None:
        self.home, self.name, self._token = home, name, token
        self.addresses: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None
        self._over, self._changing = False, threading.Lock()

    @property
    def url(self) -> str:
        return self.addresses["mcp"].removesuffix("/mcp")

    def start(self) -> None:
        """Start its gateway on the port it had, or else on a free one, and wait until it answers."""
        port = self.url.rpartition(":")[2] if self.addresses else "0"
        command = [*CROW, "serve", "--home", str(self.home), "--port", port, "--json"]
        with self._changing:
            if self._over:
                raise DidNotStart(self.name, "the demonstration has ended")
            with (self.home.parent / f"{self.name}.log").open("a") as log:
                # A session of its own: Ctrl-C at the terminal is for the story, which then stops its machines.
                process = subprocess.Popen(  # noqa: S603  # our own program
                    command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
                )
            self._process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise DidNotStart(self.name, self._last_words())
        self.addresses = json.loads(line)

    def end(self) -> None:
        """End its gateway at once and for good: what it keeps is thrown away.

        A thread that is about to start it, and that nobody waits for, does not.
        """
        with self._changing:
            self._over = True
        if self._process is not None:
            self._process.kill()
            self.stop()

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    async def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """What an assistant at this machine gets."""
        transport = StreamableHttpTransport(self.addresses["mcp"], auth=self._token)
        async with Client(transport) as client:
            result = await client.call_tool(tool, arguments)
        return dict(result.structured_content or {})

    def typed(self, *words: str) -> Any:
        """What a person gets who types this at its terminal, as JSON."""
        done = subprocess.run(  # noqa: S603  # our own program
            [*CROW, *words, "--home", str(self.home), "--json"], capture_output=True, text=True, check=True
        )
        return json.loads(done.stdout)

    def _last_words(self) -> str:
        lines = (self.home.parent / f"{self.name}.log").read_text(errors="replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "")


@contextmanager
def machines(names: Sequence[str]) -> Iterator[list[Machine]]:
    """Machines of one new identity, the first its home, all stopped; at the end nothing of them is left."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="crow-demo-")))
        made: list[Machine] = []
        seed: bytes | None = None
        for name in names:
            home = folder / name
            make_private_folder(home)
            role: Role = "satellite" if made else "home"
            keyring = Keyring.create(home, name=name, role=role, now=int(time.time()), seed=seed)
            seed = seed or keyring.seed()
            with Host(home) as host, host.store.transaction() as transaction:
                token, _ = bearer.create(transaction.db, "demonstration", now=host.now())
            made.append(stack.enter_context(_stopped_at_the_end(Machine(home, name, token))))
        yield made


@contextmanager
def _stopped_at_the_end(machine: Machine) -> Iterator[Machine]:
    try:
        yield machine
    finally:
        machine.end()
