"""Where the gateway of a home runs: what `gateway.json` says, while the process that wrote it is there.

The file is for people, commands and plugins; that the gateway runs is known by its lock alone, which the kernel takes
back however the process ends.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crow_hooks import ServiceKey
from crow_plugins.config import Home

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
    if not home.gateway_lock.exists():
        return None
    with home.gateway_lock.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return announced(home)
    return None


def announced(home: Home) -> Running | None:
    """What `gateway.json` says, whether or not anybody runs."""
    try:
        return Running(**json.loads(home.gateway.read_bytes()))
    except (OSError, ValueError, TypeError):  # it is starting or stopping just now
        return None
