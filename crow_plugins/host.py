"""The host: one installation, running. Manifest → plugins → database → FastMCP server.

Everything a host has hangs on the instance, so any number of them live in one process. Nothing here knows a
plugin by name.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from pydantic import BaseModel

from crow_hooks import Change, Conflict, Crow, Entry, Instance, SyncedTable, Tables, Transaction
from crow_plugins import bearer, manifest
from crow_plugins.clashes import refuse_clashes
from crow_plugins.config import Environment, Home
from crow_plugins.dispatch import BadPlugin, Dispatch, blamed, plugin_manager
from crow_plugins.handle import Handle, Services, refuse_unknown_settings, validated
from crow_plugins.keyring import Keyring
from crow_plugins.policies import Policies
from crow_plugins.premises import PREMISES
from crow_plugins.store import Machine, Store, this_machine

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from peewee import Database

    from crow_plugins.jobs import Jobs
    from crow_plugins.list_changes import ListChanges
    from crow_plugins.switching import ManifestWatch

log = logging.getLogger(__name__)

Contribution = TypeVar("Contribution")


class Host:
    """An open installation. Close it, or use it as a context manager."""

    def __init__(
        self,
        home: Path | None = None,
        *,
        manifest_file: Path | None = None,
        passphrase: str | None = None,
        now: Callable[[], float] = time.time,
        machine: Callable[[], Machine] = this_machine,
    ) -> None:
        """Open the installation in `home` (default: `CROW_HOME`, else `~/.crow`).

        Raises a `CrowError` whose sentence says what to do: no identity, a home that others can read, a fault in
        the manifest, a plugin that does not fit, a database that is newer or cannot be opened.
        """
        self.home = Home(home or Environment().home)
        self.home.check()
        self.manifest_files = [self.home.manifest, *([manifest_file] if manifest_file else [])]
        self.manifest = manifest.load(self.manifest_files)
        self._enabled = self.manifest.enabled()
        self._clock = now
        self.keyring = Keyring.load(self.home.folder, passphrase)
        identity = self.keyring.identity
        self.instance = Instance(identity.instance_id, identity.name, identity.role)
        self.services = Services()
        self.services.provide("host", PREMISES, self)
        self._contributions: dict[str, list[tuple[str, object]]] = {}
        self._when_open: list[Callable[[], None]] = []
        self._when_told_to_stop: list[Callable[[], None]] = []
        self.hook = Dispatch(plugin_manager(), self.is_enabled)
        self._loaded = self.manifest.plugins
        for plugin in self._loaded:
            with blamed(plugin.name, "its import"):
                module = manifest.import_plugin(plugin)
            self.hook.register(plugin.name, module, Handle(self, plugin))
        self._check_settings(self.manifest)
        self.list_changes: list[ListChanges] = []
        self.store = self._open_store(machine)
        self.policies = Policies(self)
        for run in self._when_open:
            run()
        self._serving = 0
        self._started: set[str] = set()  # to be stopped, whether a plugin is on by then or not

    # ---- what a plugin's handle asks ------------------------------------------------------------

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self.store.transaction()

    def read(self) -> AbstractContextManager[Database]:
        return self.store.read()

    def now(self) -> int:
        return int(self._clock())

    def sign(self, purpose: str, payload: bytes) -> bytes:
        return self.keyring.sign(purpose, payload)

    # ---- what the write door tells --------------------------------------------------------------

    def local_write(self, change: Change, transaction: Transaction) -> None:
        self.hook.collect("on_local_write", change=change, transaction=transaction)

    def shows(self, table: str) -> bool:
        return self.owners[table] in self.hook.plugins("on_remote_change")

    def show(self, entry: Entry, transaction: Transaction) -> bool:
        owner = self.owners[entry.table]
        return bool(self.hook.ask(owner, "on_remote_change", entry=entry, transaction=transaction))

    def notify(self, name: str, **arguments: object) -> None:
        self.hook.notify(name, **arguments)
        conflict = arguments.get("conflict")
        if name == "conflict_detected" and isinstance(conflict, Conflict):
            self.policies.consider(conflict.table, conflict.row_id)

    # ---- plugins --------------------------------------------------------------------------------

    def is_enabled(self, plugin: str) -> bool:
        return plugin in self._enabled

    def when_open(self, run: Callable[[], None]) -> None:
        self._when_open.append(run)

    def when_told_to_stop(self, run: Callable[[], None]) -> None:
        self._when_told_to_stop.append(run)

    def sweep_conflicts(self) -> None:
        """Ask the conflict policies about every conflict that is open."""
        self.policies.sweep()

    def table_is_on(self, table: str) -> bool:
        """Whether the plugin that owns a synced table is enabled."""
        return self.is_enabled(self.owners.get(table, ""))

    def handle(self, plugin: str) -> Crow:
        """A plugin's own handle."""
        return self.hook.handle(plugin)

    def contributions(self, hook: str, kind: type[Contribution]) -> list[tuple[str, Contribution]]:
        """What the plugins answer to a `register_*` hook, asked once: one item each, with the plugin's name.

        Raises `BadPlugin` for an answer of another kind, and for a name that is taken.
        """
        if hook not in self._contributions:
            collected = list(self._collected(hook, kind))
            refuse_clashes(collected)
            self._contributions[hook] = collected
        return cast(list[tuple[str, Contribution]], self._contributions[hook])

    def _collected(self, hook: str, kind: type[object]) -> Iterator[tuple[str, object]]:
        for plugin, answer in self.hook.contributions(hook):
            for item in answer if isinstance(answer, list | tuple) else [answer]:
                if not isinstance(item, kind):
                    raise BadPlugin(plugin, f"{hook} returned a {type(item).__name__}, not a {kind.__name__}")
                yield plugin, item

    @cached_property
    def owners(self) -> dict[str, str]:
        """Which plugin registered each synced table."""
        owners: dict[str, str] = {}
        for plugin, table in self.contributions("register_synced_tables", SyncedTable):
            if table.name in owners:
                raise BadPlugin(plugin, f"the table {table.name} is registered by {owners[table.name]} already")
            owners[table.name] = plugin
        return owners

    def reload_manifest(self) -> frozenset[str]:
        """Take over what the manifest files say now; returns the plugins that went on or off by it.

        Raises `ManifestError`; then everything stays as it is. A plugin that was not there at the start is not loaded
        now, and settings are those of the start: both want a restart.
        """
        fresh = manifest.load(self.manifest_files)
        self._check_settings(fresh)
        started = {plugin.name: plugin.settings for plugin in self._loaded}
        enabled = fresh.enabled() & started.keys()
        for plugin in fresh.plugins:
            if plugin.name not in started:
                log.warning("plugin is new and waits for a restart plugin=%s", plugin.name)
            elif plugin.settings != started[plugin.name]:
                log.warning("settings changed and wait for a restart plugin=%s", plugin.name)
        changed = enabled ^ self._enabled
        self.manifest, self._enabled = fresh, enabled
        return changed

    def _check_settings(self, fresh: manifest.Manifest) -> None:
        models = dict(self.hook.contributions("register_settings"))
        loaded = {plugin.name for plugin in self._loaded}
        for plugin in fresh.plugins:
            if plugin.name not in loaded:
                continue  # nobody knows its settings before the restart that loads it
            model = models.get(plugin.name)
            if model is None:
                refuse_unknown_settings(plugin, ())
            else:
                validated(cast(type[BaseModel], model), plugin)

    def _open_store(self, machine: Callable[[], Machine]) -> Store:
        tables = dict(self.contributions("register_tables", Tables))
        _ = self.owners
        return Store(
            self.home.database,
            instance_id=self.instance.id,
            listener=self,
            scripts={bearer.OWNER: bearer.MIGRATIONS, **{name: each.migrations for name, each in tables.items()}},
            synced=[table for _, table in self.contributions("register_synced_tables", SyncedTable)],
            now=self.now,
            machine=machine,
        )

    # ---- serving --------------------------------------------------------------------------------

    @cached_property
    def server(self) -> FastMCP:
        """The FastMCP server with every plugin's tools, resources and prompts; it has no auth of its own."""
        from crow_plugins.server import build_server  # FastMCP takes a while to import; commands do without

        return build_server(self)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """`startup` on the way in, `shutdown` on the way out; nested uses share the outermost."""
        self._serving += 1
        if self._serving > 1:
            try:
                yield
            finally:
                self._serving -= 1
            return
        from crow_plugins.jobs import Jobs  # the scheduler, too, is of no use to a command
        from crow_plugins.switching import ManifestWatch

        self.hook.serve_on(asyncio.get_running_loop())
        jobs = Jobs(self)
        watch = ManifestWatch(self)
        try:
            for plugin in self._loaded:
                if self.is_enabled(plugin.name):
                    await self.start(plugin.name)
            await asyncio.to_thread(self.policies.sweep)
            jobs.start()
            watch.start()
            yield
        finally:
            self._serving -= 1
            await _to_its_end(self._stop(watch, jobs))

    def told_to_stop(self) -> None:
        """Say so to whoever has to know before connections end. On the event loop."""
        for run in self._when_told_to_stop:
            run()

    async def start(self, plugin: str) -> None:
        """Begin to serve one plugin that is on. Raises `BadPlugin`."""
        self._started.add(plugin)  # one that failed halfway has something to stop, too
        await self.hook.start(plugin)

    async def stop(self, plugin: str) -> None:
        """End what `start` began; nothing if it did not."""
        if plugin in self._started:
            self._started.discard(plugin)
            await self.hook.stop(plugin)

    async def _stop(self, watch: ManifestWatch, jobs: Jobs) -> None:
        await watch.stop()
        await jobs.stop()
        for clients in self.list_changes:
            clients.close()
        for plugin in reversed(self._loaded):
            await self.stop(plugin.name)
        await self.hook.drain()
        self.hook.serve_on(None)

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Do it whole also where this task is cancelled meanwhile, as by Ctrl-C on a server of somebody's own."""
    doing, cancelled = asyncio.create_task(work), None
    while not doing.done():
        try:
            await asyncio.shield(doing)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
