"""The handle: what every hook receives and what a plugin may ask of the house.

Ten names. A plugin that needs more looks up a service of another plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from crow_hooks.services import ServiceKey
from crow_hooks.types import Change, Data, Instance, Version

if TYPE_CHECKING:
    from peewee import Database
    from pydantic import BaseModel

    Settings = TypeVar("Settings", bound=BaseModel)

Service = TypeVar("Service")


class Transaction(Protocol):
    """One write transaction: all of it becomes true at its end, or none of it."""

    @property
    def db(self) -> Database:
        """The database, for queries: `query.execute(transaction.db)`."""

    @property
    def now(self) -> int:
        """Unix seconds, the same for everything in this transaction."""

    def record(
        self, type: str, table: str, row_id: str, *, resolves: Iterable[Version] = (), by: str = "assistant"
    ) -> Change | None:
        """Say that a row of a synced table was written; `None` if nothing changed.

        The row is read back, so write it first. For a `*_delete` type the row is still there:
        its last image is kept and the row removed here. `resolves` names the live
        versions that the writer saw and means to overwrite. A bookkeeping column is stamped with `now`, except by
        a row's first write. Raises `Invalid` when the row breaks its
        `SyncedTable`, `NotFound` when it is not there.
        """

    def insert(self, type: str, table: str, rows: Mapping[str, Data], *, by: str = "assistant") -> list[Change]:
        """Write new rows of a synced table, given by id with all their columns, and record each of them.

        The same as writing each and `record`, in fewer statements: all are written before `on_local_write` is told of
        the first. A row that was deleted is there again. Raises `Invalid` when a row breaks its `SyncedTable`, or is
        there already.
        """

    def last_image(self, table: str, row_id: str) -> Data | None:
        """What a deleted row of a synced table held, while that is kept; None for a row that is not deleted."""

    def before_commit(self, key: object, run: Callable[[], None]) -> None:
        """Run once before the commit, inside the transaction; a second call with an equal key is ignored."""

    def after_commit(self, run: Callable[[], None]) -> None:
        """Run after the commit, never if it does not happen. It may not write synced rows."""


class Hooks(Protocol):
    """Calls hooks of all enabled plugins; each plugin gets its own handle as `crow`."""

    def collect(self, name: str, **arguments: object) -> list[object]:
        """Call every implementation in dependency order; results that are not None. The first exception ends it."""

    def first(self, name: str, **arguments: object) -> object | None:
        """The first result that is not None, last registered plugin first."""

    async def gather(self, name: str, **arguments: object) -> list[object]:
        """Like `collect`, awaiting what is awaitable."""


class Crow(Protocol):
    """One plugin's view of its host."""

    @property
    def instance(self) -> Instance:
        """Who we are."""

    @property
    def hook(self) -> Hooks:
        """Call hooks of the other plugins."""

    def transaction(self) -> AbstractContextManager[Transaction]:
        """The one door for writing. Never on the event loop, never nested, no await inside."""

    def read(self) -> AbstractContextManager[Database]:
        """A connection for reading, given back at the end of the block. Never on the event loop."""

    def settings(self, model: type[Settings]) -> Settings:
        """This plugin's settings, as the manifest has them, validated by its own model."""

    def notify(self, name: str, **arguments: object) -> None:
        """Tell every plugin, after the fact: each is isolated from the others' failures."""

    def now(self) -> int:
        """Unix seconds."""

    def provide(self, key: ServiceKey[Service], service: Service) -> None:
        """Offer a service to plugins that require this one; once a key."""

    def service(self, key: ServiceKey[Service]) -> Service:
        """A service of a plugin named in `requires`. Raises `NotFound`."""

    def sign(self, purpose: str, payload: bytes) -> bytes:
        """Sign with this instance's key, under the label `crow/v1/<purpose>`. The key is never handed out."""
