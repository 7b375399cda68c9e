"""What the built-in plugins may use of their host, beyond the handle that every plugin gets.

Keys and files of the home are not for other people's code: the service is refused to plugins that are not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from crow_hooks import Crow, ServiceKey
from crow_plugins.config import Home
from crow_plugins.keyring import Keyring
from crow_plugins.manifest import Manifest
from crow_plugins.store import Store

if TYPE_CHECKING:
    from fastmcp import FastMCP

Contribution = TypeVar("Contribution")

OURS = "crow_plugins."  # where the modules of plugins lie that may look it up


class Premises(Protocol):
    """The parts of an open installation. The store is there from the first hook that is not `setup`."""

    @property
    def home(self) -> Home: ...

    @property
    def keyring(self) -> Keyring: ...

    @property
    def store(self) -> Store: ...

    def when_open(self, run: Callable[[], None]) -> None:
        """Have this run once the database is open, in every process of the home, before anything is written to it."""

    def when_told_to_stop(self, run: Callable[[], None]) -> None:
        """Have this run on the event loop once a gateway is told to stop: before its connections end, and long before
        `shutdown`, which waits for them.
        """

    def sweep_conflicts(self) -> None:
        """Ask the conflict policies about every conflict that is open. Database work."""

    @property
    def server(self) -> FastMCP:
        """Every plugin's tools, to be called as a person of this machine."""

    @property
    def manifest(self) -> Manifest:
        """The plugins as the manifest files last said."""

    @property
    def manifest_files(self) -> list[Path]: ...

    def is_enabled(self, plugin: str) -> bool:
        """Whether a plugin is on now."""

    def reload_manifest(self) -> frozenset[str]:
        """Take over what the manifest files say now."""

    def handle(self, plugin: str) -> Crow:
        """A plugin's own handle, for what is called in its name."""

    def contributions(self, hook: str, kind: type[Contribution]) -> list[tuple[str, Contribution]]:
        """What the plugins answer to a `register_*` hook: one item each, with the plugin's name."""

    def table_is_on(self, table: str) -> bool:
        """Whether the plugin that owns a synced table is enabled."""


PREMISES: ServiceKey[Premises] = ServiceKey("premises")
