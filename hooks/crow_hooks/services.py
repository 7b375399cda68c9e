"""What plugins offer one another: Protocols of a few methods, each found by a typed key.

A plugin looks services up in its own `setup` and hands them on by constructor:

    @hookimpl
    def setup(crow):
        crow.provide(MEMORIES, Memories(crow))

Those below are offered by built-in plugins; a plugin that looks one up names its provider in `requires`. What
works on the database says so: never call that on the event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

from crow_hooks.types import Conflict, Data, Instance, Resolution

if TYPE_CHECKING:
    from crow_hooks.crow import Transaction

Service = TypeVar("Service")


class ServiceKey(Generic[Service]):
    """Names a service and carries its type, so that a wrong implementation fails in the type checker."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"ServiceKey({self.name!r})"


# ---- registry -----------------------------------------------------------------------------------

Status = Literal["online", "syncing", "offline", "unknown"]


@dataclass(frozen=True, slots=True)
class KnownInstance:
    """Another instance of the chain, as the registry has it; times in unix seconds, keys of 32 bytes.

    `name` in `instance` is this machine's label for it. `gateway_url` is None for one that is never dialled.
    `status` is a report and decides nothing; `revoked` does.
    """

    instance: Instance
    gateway_url: str | None
    instance_key: bytes
    noise_key: bytes
    feed_key: bytes
    certificate: bytes
    revoked: bool
    hidden: bool
    status: Status
    last_seen: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Credentials:
    """What instances show one another: certificates and revocation statements, each as it was signed."""

    certificates: tuple[bytes, ...]
    revocations: tuple[bytes, ...]


class InstanceRegistry(Protocol):
    """Who is in this chain. Reading never waits: it is from memory, and as new as the last change in any process."""

    @property
    def zones(self) -> frozenset[str]:
        """The zones of addresses that may be called."""

    def others(self) -> Sequence[KnownInstance]:
        """Every other instance that was ever known, hidden and revoked ones included, by name."""

    def find(self, named: str) -> KnownInstance:
        """By id, by name, or by an unambiguous beginning of either, among those not hidden.

        Raises `NotFound` naming the nearest.
        """

    def credentials(self) -> Credentials:
        """Everything known, our own certificate first."""

    def learn(self, heard: Credentials) -> frozenset[str]:
        """Keep what is valid and new; returns the ids of instances that came, or are revoked, by it. Database work."""

    def seen(self, instance_id: str, status: Status) -> None:
        """There was verified contact just now. Database work."""

    def revoke(self, instance_id: str, passphrase: str | None) -> None:
        """End trust in an instance, on every machine that hears of it; only where the master seed is. Database work.

        Raises what opening the seed does, and `Refused` for this instance itself.
        """


REGISTRY: ServiceKey[InstanceRegistry] = ServiceKey("registry")


# ---- federation ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """What a tool of another instance answered; `content` is its text, data of that instance and no instruction."""

    instance: Instance
    structured: Data | None
    content: str
    milliseconds: float


@dataclass(frozen=True, slots=True)
class CallFailure:
    """Why there is no answer: a stable code (`unreachable`, `timed_out`, `busy`, `refused`, …), a sentence."""

    instance: Instance
    code: str
    reason: str
    milliseconds: float


Ranking = Callable[[str, Sequence[Instance]], Sequence[tuple[Instance, float, str]]]


class Federation(Protocol):
    """Calling the tools of other instances. On the event loop."""

    async def call(
        self, instance_id: str, tool: str, arguments: Data, *, timeout_seconds: float = 10.0
    ) -> CallAnswer | CallFailure:
        """One call; a failure is a value. Raises `NotFound` for an instance that is not known."""

    def use_ranking(self, ranking: Ranking) -> None:
        """Let a plugin say which instances can answer a query: pairs of score (0: cannot) and reason, best first."""


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One call between instances, or its refusal; no contents. `at` in unix seconds."""

    seq: int
    at: float
    direction: str
    peer: str
    tool: str
    decision: str
    status: str
    milliseconds: float


class AuditLog(Protocol):
    """What instances asked of one another. Database work."""

    def newest(self, limit: int, before: int | None = None, peer: str | None = None) -> list[AuditRow]:
        """The newest first, those before `before` (a `seq`), of all peers or one (its id)."""

    def count(self) -> int:
        """How many rows are kept."""


@dataclass(frozen=True, slots=True)
class OpenTool:
    """What was said of one tool: whether an instance may call it here, whether it may write, and who said so."""

    tool: str
    allowed: bool
    writes: bool
    said_for: Literal["setting", "every instance", "this instance"]


class ToolExposure(Protocol):
    """What other instances may call here. An empty instance id stands for every instance. Database work."""

    def said(self, instance_id: str) -> list[OpenTool]:
        """Every tool that something was said of, as it stands for this instance, by name; the rest is denied."""

    def expose(self, tool: str, instance_id: str = "", *, writes: bool = False) -> None:
        """Allow a tool. Raises `Invalid` for one that may never be called from outside, and for all at once."""

    def deny(self, tool: str, instance_id: str = "") -> None:
        """Deny a tool, or with `*` all. Raises `Invalid`."""


AUDIT_LOG: ServiceKey[AuditLog] = ServiceKey("audit log")
EXPOSURE: ServiceKey[ToolExposure] = ServiceKey("exposure")
FEDERATION: ServiceKey[Federation] = ServiceKey("federation")


# ---- summaries ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CachedSummary:
    """What another instance last said of itself; `stale` is computed when read, `error` is of the last try.

    `fetched_at` and `expires_at` are None where it never said anything; then `error` tells why.
    """

    instance: Instance
    kind: str
    value: object
    fetched_at: int | None
    expires_at: int | None
    stale: bool
    error: str | None


class Summaries(Protocol):
    """Summaries of other instances, as they were last fetched."""

    def cached(self, instance_id: str | None = None, kinds: Sequence[str] = ()) -> list[CachedSummary]:
        """By instance and kind, of those that were ever asked. Database work."""

    async def refresh(self, instance_id: str | None = None) -> list[CachedSummary]:
        """Fetch anew now, from one instance or all; what failed carries its error."""


SUMMARIES: ServiceKey[Summaries] = ServiceKey("summaries")


# ---- replication --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How far one instance's feed is known here, in entries.

    `length` is what its writer was last known to have signed, `held` what is here, `applied` what this database
    has taken in; `parked` waits, `rejected` was refused. `connected` tells whether a peer serves it now.

    Measured by the gateway, None where there is nothing to measure: `rate`, entries applied a second while this
    database is behind, and `seconds_left` at that rate; `confirmed`, how much of our own feed the instance says that
    it holds; `lag_seconds`, from a write here to that word.
    """

    instance: Instance
    length: int
    held: int
    applied: int
    parked: int
    rejected: int
    last_sync: int | None
    connected: bool
    frozen: bool
    rate: float | None = None
    seconds_left: float | None = None
    confirmed: int | None = None
    lag_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Trouble:
    """An entry that waits (`parked`) or was refused (`rejected`): of whose feed, since when (unix seconds), and why."""

    kind: Literal["parked", "rejected"]
    instance_id: str
    seq: int
    reason: str
    detail: str
    at: int


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """What came of waiting: whether everything that peers announced is applied, and how much is still to come.

    `missing` are the names of the instances that were to be reached and were not: what they have is not known.
    """

    complete: bool
    remaining: int
    seconds: float
    missing: Sequence[str] = ()


class Replication(Protocol):
    """Keeping this database and those of the other instances equal."""

    def status(self) -> list[FeedStatus]:
        """Of every feed, our own first. Database work."""

    async def sync_now(self, instance_id: str | None = None, wait_seconds: float = 0.0) -> SyncProgress:
        """Dial who is not connected, now, and wait up to so long until nothing is behind."""

    def connected(self) -> frozenset[str]:
        """The ids of the instances that are connected now."""

    def troubles(self) -> list[Trouble]:
        """What is parked and what was refused, the newest first, a hundred of each. Database work."""

    def is_caught_up(self) -> bool:
        """Whether every entry that peers announced is applied, and this instance may append. Database work."""

    def ancestor(self, conflict: Conflict, transaction: Transaction) -> Data | None:
        """The newest image of a row that both sides of a conflict had seen, as far as it is known."""

    def suspect(self) -> str | None:
        """Why this instance may not append to its feed now; None when it may. Database work."""

    def failing(self) -> str | None:
        """Why nothing can be taken in from anybody now, and what to do; None when all is well. Database work."""


class ConflictDesk(Protocol):
    """Where conflicts are settled. Database work."""

    def open_by_instance(self) -> Mapping[str, int]:
        """How many are open, by the id of the instance that wrote the other version."""

    def resolve(self, conflict_id: str, resolution: Resolution, *, by: str) -> object:
        """Settle one on every machine; `by` is "person" or "assistant".

        Raises `NotFound`, `Invalid`, and `changed_meanwhile` if the row has changed since.
        """


CONFLICTS: ServiceKey[ConflictDesk] = ServiceKey("conflicts")
REPLICATION: ServiceKey[Replication] = ServiceKey("replication")
