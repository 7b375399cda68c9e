"""What the built-in plugins may use of their host, beyond the handle that every plugin gets.

Keys and files of the home are not for other people's code: the service is refused to plugins that are not ours.
"""

from __future__ import annotations

from typing import Protocol

from crow_hooks import ServiceKey
from crow_plugins.config import Home
from crow_plugins.keyring import Keyring
from crow_plugins.store import Store

OURS = "crow_plugins."  # where the modules of plugins lie that may look it up


class Premises(Protocol):
    """The parts of an open installation. The store is there from the first hook that is not `setup`."""

    @property
    def home(self) -> Home: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def store(self) -> Store: ...

    def sweep_conflicts(self) -> None:
        """Ask the conflict policies about every conflict that is open. Database work."""

    def table_is_on(self, table: str) -> bool:
        """Whether the plugin that owns a synced table is enabled."""


PREMISES: ServiceKey[Premises] = ServiceKey("premises")
