"""Where the gateway of a home runs: what `gateway.json` says, while the process that wrote it is there.

The file is for people, commands and plugins; that the gateway runs is known by its lock alone, which the kernel takes
back however the process ends.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from crow_hooks import ServiceKey
from crow_plugins.config import Home
from crow_plugins.files import stamp

# The host names by which others call this gateway; it answers to them, without a word on the command line.
ADDRESS_NAMES: ServiceKey[Callable[[], Sequence[str]]] = ServiceKey("address names")


@dataclass(frozen=True, slots=True)
class Running:
    """Where a gateway answers and which plugins it loaded, as `gateway.json` has it."""

    pid: int
    host: str
    port: int
    plugins: tuple[str, ...] = ()

    @property
    def reachable_host(self) -> str:
        """The address to call from this machine: a bind to every address is no address."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104  # not bound here

    @property
    def base_url(self) -> str:
        host = self.reachable_host
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def mcp(self) -> str:
        return f"{self.base_url}/mcp"


def running_gateway(home: Home) -> Running | None:
    """The gateway that runs in a home now, if any."""
    return announced(home) if gateway_runs(home) else None


def gateway_runs(home: Home) -> bool:
    """Whether a gateway has the home, which may not answer yet or any more; one that was killed has not."""
    return is_locked(home.gateway_lock)


def gateway_stamp(home: Home) -> object:
    """Another one once `running_gateway` may say something else. Waits for nothing: the event loop may ask."""
    return gateway_runs(home) and stamp(home.gateway)


def announced(home: Home) -> Running | None:
    """What `gateway.json` says, whether or not anybody runs."""
    try:
        return Running(**json.loads(home.gateway.read_bytes()))
    except (OSError, ValueError, TypeError):  # it is starting or stopping just now
        return None


def is_locked(path: Path) -> bool:
    """Whether some process has a file's lock, as that of a lease.

    Asked by sharing it for a moment: others who look are not taken for its holder.
    """
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
