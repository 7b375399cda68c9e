"""Every hook: when it runs, what it may return, what raising does.

A hook runs at one of three times:

- **at start**: once, while the host is built, for plugins that are off as well; raising stops
  the start: a `CrowError` with its own sentence, anything else with one that names the plugin;
- **inside a transaction**: synchronous, on the thread that writes; raising rolls back what
  the transaction did; no await, no network;
- **after commit**: what it tells of is true already; sync or async; a failure is
  logged and touches nobody else.

Beside these stand `startup` and `shutdown`, around serving, and `on_federated_call`, before a call.

An implementation may leave out parameters it does not use. `crow` is the plugin's own handle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from crow_hooks.markers import hookspec

if TYPE_CHECKING:
    from fastmcp import FastMCP
    from fastmcp.server.middleware import Middleware as MCPMiddleware
    from pydantic import BaseModel
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from crow_hooks.crow import Crow, Transaction
    from crow_hooks.types import (
        Change,
        Check,
        Command,
        Conflict,
        Decision,
        Entry,
        FederatedCall,
        Format,
        Instance,
        Job,
        NestPage,
        Resolution,
        SearchKind,
        Summary,
        SyncedTable,
        Tables,
    )


# ---- the four that give the system its shape ----------------------------------------------------


@hookspec
def on_local_write(crow: Crow, change: Change, transaction: Transaction) -> None:
    """A local write was recorded: the row is written, stamped and joined.

    Inside its transaction, for every enabled plugin in dependency order. `change` carries the full row image.
    Raising rolls the whole transaction back, and the writer gets the error; a writer must let it through.
    """


@hookspec
def on_remote_change(crow: Crow, entry: Entry, transaction: Transaction) -> bool | None:
    """Another version of a row became current; write it.

    Inside the apply transaction, only for the plugin that registered the table. `entry` is the version that is
    now current, whichever entry caused it. Return None to have the named columns written the
    default way, True if the plugin wrote the row itself. Raising rolls the transaction back and parks the entry
    that caused it. A local delete may cause it too, where another version was live: then the writer gets the error.
    """


@hookspec(firstresult=True)
def on_conflict(crow: Crow, conflict: Conflict, transaction: Transaction) -> Resolution | None:
    """Two live versions of a row differ; settle it now or leave it to the operator.

    In a write transaction of its own, after the one that found the conflict. The first
    resolution is written as a local write. Raising leaves the conflict open, with the error logged.
    """


@hookspec
def on_federated_call(crow: Crow, call: FederatedCall) -> Decision | Awaitable[Decision | None] | None:
    """A tool call is about to leave for another instance, or one of another instance is about to run.

    Before the call, for every enabled plugin; async on the event loop, else in a worker thread. The first denial
    wins; raising is a denial, and so is not coming back.
    """


# ---- at start -----------------------------------------------------------------------------------


@hookspec
def setup(crow: Crow) -> None:
    """The plugin is being registered; those it requires have been.

    At start, in dependency order: provide services and look them up. The database is not open yet. Raising
    stops the start.
    """


@hookspec
def register_tables(crow: Crow) -> Tables | None:
    """The plugin's tables, as SQL scripts. At start, before anything reads. Raising stops the start."""


@hookspec
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable] | None:
    """Which of the plugin's tables travel, and which columns. At start; a table has one owner."""


@hookspec
def register_settings(crow: Crow) -> type[BaseModel] | None:
    """The model that the plugin's settings in the manifest must fit.

    At start, and again when the manifest changes; unknown keys are refused.
    """


@hookspec
def register_server(crow: Crow) -> FastMCP | None:
    """A FastMCP sub-server with tools, resources and prompts, and nothing else. At start."""


@hookspec
def register_routes(crow: Crow) -> Sequence[BaseRoute] | None:
    """Starlette routes of the gateway. At start. Each checks login itself: MCP tokens do not cover them."""


@hookspec
def register_middleware(crow: Crow) -> Sequence[Middleware | MCPMiddleware] | None:
    """What stands around the server that answers, ours or the one Crow is mounted on. At start of serving HTTP.

    Starlette middleware stands around the whole HTTP application, before anything looks at a request, the first
    plugin's outermost; FastMCP middleware around every MCP message of the root server. Both rest while the
    plugin is off.
    """


@hookspec
def register_search(crow: Crow) -> Sequence[SearchKind] | None:
    """Kinds for `crow_search` and the federated search. At start."""


@hookspec
def register_summary(crow: Crow) -> Sequence[Summary] | None:
    """What the plugin contributes to this instance's summary. At start."""


@hookspec
def register_jobs(crow: Crow) -> Sequence[Job] | None:
    """Scheduled work. At start; a job that raises is logged and runs again at its next time."""


@hookspec
def register_commands(crow: Crow) -> Sequence[Command] | None:
    """Subcommands of `crow`. At start of the command line."""


@hookspec
def register_formats(crow: Crow) -> Sequence[Format] | None:
    """Kinds of rows for `crow import` and `crow export`. At start."""


@hookspec
def register_checks(crow: Crow) -> Sequence[Check] | None:
    """Lines of `crow doctor`. At start; a check that raises is shown as failed."""


@hookspec
def register_nest_pages(crow: Crow) -> Sequence[NestPage] | None:
    """Pages of the Nest. At start."""


@hookspec
def startup(crow: Crow) -> Awaitable[None] | None:
    """The host begins to serve, or the plugin is switched on while it serves.

    On the event loop, in dependency order. Raising stops the start; of a plugin that is switched on it is logged.
    """


@hookspec
def shutdown(crow: Crow) -> Awaitable[None] | None:
    """The host stops serving, or the plugin is switched off while it serves.

    On the event loop, in reverse order; failures are logged.
    """


# ---- after commit -------------------------------------------------------------------------------


@hookspec
def entry_appended(crow: Crow, change: Change, seq: int) -> Awaitable[None] | None:
    """A local change stands in this instance's feed at `seq`. After commit."""


@hookspec
def change_applied(crow: Crow, entry: Entry) -> Awaitable[None] | None:
    """An entry of another instance was applied. After commit."""


@hookspec
def entry_rejected(crow: Crow, instance_id: str, seq: int, reason: str) -> Awaitable[None] | None:
    """An entry failed verification and was not applied. After the fact."""


@hookspec
def entry_parked(crow: Crow, instance_id: str, seq: int, reason: str) -> Awaitable[None] | None:
    """A verified entry cannot be applied yet; it is kept. After commit."""


@hookspec
def conflict_detected(crow: Crow, conflict: Conflict) -> Awaitable[None] | None:
    """A row has two live versions that differ. After commit."""


@hookspec
def conflict_resolved(crow: Crow, conflict_id: str, resolution: str) -> Awaitable[None] | None:
    """A conflict is no longer open here. After commit."""


@hookspec
def instance_registered(crow: Crow, instance: Instance) -> Awaitable[None] | None:
    """An instance joined the registry. After commit."""


@hookspec
def instance_status_changed(crow: Crow, instance: Instance, status: str) -> Awaitable[None] | None:
    """What is known of an instance's reachability changed. After commit."""


@hookspec
def summary_refreshed(crow: Crow, instance_id: str, kind: str) -> Awaitable[None] | None:
    """A cached summary was fetched anew. After commit."""
