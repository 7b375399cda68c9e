"""One instance of a chain under test: an installation in a folder of its own, serving, and an assistant at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from crow_hooks import REGISTRY, Credentials, Crow, CrowError, Data, Decision, FederatedCall, FeedStatus
from crow_hooks import Instance as Identity
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring
from crow_plugins.replicator import SYNC
from crow_plugins.testing.clock import Clock

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from fastmcp import Client

    from crow_plugins.replicator.sync import InstanceSyncManager

Result = TypeVar("Result")

SEED = bytes(range(32))  # the same for all: what is certified here is of no use anywhere else


class Instance:
    """Use it from the test's thread. `home` is its folder; `host` is all the rest of it."""

    def __init__(self, home: Path, host: Host, clock: Clock, portal: BlockingPortal, client: Client[Any]) -> None:
        self.home, self.host, self.clock = home, host, clock
        self._portal, self._client = portal, client

    @property
    def name(self) -> str:
        return self.host.instance.name

    @property
    def id(self) -> str:
        return self.host.instance.id

    def crow(self, plugin: str) -> Crow:
        """The handle of one of its plugins."""
        return self.host.handle(plugin)

    def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """What a tool answers an assistant here. Raises `fastmcp.exceptions.ToolError`."""
        result = self._portal.call(self._client.call_tool, tool, arguments)
        return dict(result.structured_content or {})

    def tools(self) -> list[str]:
        """The names of the tools that an assistant sees here."""
        return sorted(tool.name for tool in self._portal.call(self._client.list_tools))

    def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Read its database."""
        with self.host.read() as db:
            return [tuple(row) for row in db.execute_sql(sql, parameters).fetchall()]

    def conflicts(self) -> list[dict[str, Any]]:
        """The conflicts that are open here, as `crow_list_conflicts` tells them."""
        return list(self.call("crow_list_conflicts")["items"])

    def resolve(self, conflict_id: str, resolution: str, **merged: object) -> dict[str, Any]:
        """Settle one: `local`, `remote`, or `merge` with the fields that differ from the local side."""
        more = {"merged_data": merged} if merged else {}
        return self.call("crow_resolve_conflict", conflict_id=conflict_id, resolution=resolution, **more)

    def denial(self, tool: str, arguments: Data | None = None, *, caller: Instance) -> str | None:
        """Why the plugins here let `caller` not call a tool; None if none of them minds.

        This asks `on_federated_call` alone: what is exposed at all, the operator says.
        """
        asked = FederatedCall("inbound", Identity(caller.id, caller.name, "satellite"), tool, arguments or {})
        try:
            decisions = self._portal.call(self._decisions, asked)
        except CrowError as error:  # one that raises denies, too
            return str(error)
        return next((decision.reason for decision in decisions if not decision.allowed), None)

    async def _decisions(self, asked: FederatedCall) -> list[Decision]:
        answers = await self.host.hook.gather("on_federated_call", call=asked)
        return [answer for answer in answers if isinstance(answer, Decision)]

    # ---- for the chain --------------------------------------------------------------------------

    @property
    def sync(self) -> InstanceSyncManager:
        return self.host.services.find("testing", SYNC)

    def know(self, other: Instance) -> None:
        """Hear of another instance by its certificate."""
        certificate = other.host.keyring.identity.certificate.encode()
        self.host.services.find("testing", REGISTRY).learn(Credentials((certificate,), ()))

    def feeds(self) -> dict[str, FeedStatus]:
        return {status.instance.id: status for status in self.sync.status()}


def make_home(folder: Path, name: str, manifest: str, now: int) -> Path:
    """An installation that has never run, with what its operator says of plugins."""
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role="home", now=now, seed=SEED)
    (home / "plugin_manifest.toml").write_text(manifest, encoding="utf-8")
    return home


def open_host(home: Path, clock: Callable[[], float]) -> Host:
    return Host(home, now=clock)
