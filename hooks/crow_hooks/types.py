"""What crosses the borders between plugins: frozen values, no behaviour that needs the house.

A change is what a local write did; an entry is a change as it stands in a feed. A row
is declared to travel by a `SyncedTable`; what is not declared stays on its machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from peewee import Database

    from crow_hooks.crow import Crow
    from crow_hooks.errors import CrowError

Data = Mapping[str, object]
Role = Literal["home", "satellite"]


@dataclass(frozen=True, slots=True)
class Instance:
    """One Crow installation."""

    id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Version:
    """One write of one row: who wrote it and at which lamport; `writer` is instance id, a dot, and an epoch."""

    writer: str
    lamport: int


@dataclass(frozen=True, slots=True)
class Change:
    """A local write, as the door saw it: stamped, joined, and about to be committed.

    `data` is the whole image of the travelling columns after the write; for a delete
    it is the last image. `vv` is what this instance knew of the row before the write;
    `open` names live versions that the write did not mean to overwrite.
    """

    type: str
    table: str
    row_id: str
    data: Data
    version: Version
    vv: Mapping[str, int]
    open: tuple[Version, ...]
    timestamp: int
    deleted: bool = False
    by: str = "assistant"


@dataclass(frozen=True, slots=True)
class Entry:
    """A change as another instance wrote it, verified and decoded."""

    type: str
    table: str
    row_id: str
    data: Data
    version: Version
    vv: Mapping[str, int]
    open: tuple[Version, ...]
    timestamp: int
    instance_id: str
    deleted: bool = False
    by: str = "assistant"


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two live versions of one row that differ: `local` is the one shown here, `remote` the other."""

    id: str
    table: str
    row_id: str
    local: Data
    local_version: Version
    local_deleted: bool
    remote: Data
    remote_version: Version
    remote_deleted: bool


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a conflict was settled; `data` names changed fields and is given for a merge only."""

    kind: Literal["local", "remote", "merge"]
    data: Data | None = None


@dataclass(frozen=True, slots=True)
class FederatedCall:
    """A tool call between two instances, before it leaves (`outbound`) or runs (`inbound`)."""

    direction: Literal["outbound", "inbound"]
    peer: Instance
    tool: str
    arguments: Data


@dataclass(frozen=True, slots=True)
class Decision:
    """What a plugin says about a federated call; the first denial wins."""

    allowed: bool
    reason: str = ""

    @classmethod
    def deny(cls, reason: str) -> Decision:
        return cls(allowed=False, reason=reason)


@dataclass(frozen=True, slots=True)
class Column:
    """A travelling column: its JSON type, its largest size in bytes of UTF-8, and whether it may be null.

    A bookkeeping column travels but does not make two versions differ: `updated_at`
    must not turn equal edits into a conflict, nor a write that changes nothing into one
    that does. A provenance column says where a row comes from. Neither is anybody's to merge.

    `clean` takes what a person says of it in settling a conflict to what is stored, or raises
    `Invalid`. What arrives, and what one of the two sides has, is held to the rest alone.
    """

    name: str
    kind: Literal["text", "integer", "real", "boolean", "json"] = "text"
    bytes_max: int = 64 * 1024
    nullable: bool = False
    bookkeeping: bool = False
    provenance: bool = False
    clean: Callable[[object], object] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SyncedTable:
    """A table whose rows travel: exactly the named columns, under exactly these change types.

    Its SQL table has a text key `id`, an integer `lamport_ts`, and the columns named here. A
    change type ending in `_delete` removes the row. `natural_key` names the column of
    which the row id is the UUIDv5, for tables that must agree on a key while apart. `numbered_by`
    names an integer column, a time in unix seconds: the SQL table then has `number INTEGER PRIMARY
    KEY`, which Crow makes of that time and the id, so that rows stand in the same order everywhere.
    """

    name: str
    columns: tuple[Column, ...]
    change_types: tuple[str, ...]
    natural_key: str | None = None
    numbered_by: str | None = None

    @property
    def mergeable(self) -> tuple[str, ...]:
        """The columns that a merge may name: neither bookkeeping nor provenance, nor the key that makes the id."""
        return tuple(
            column.name
            for column in self.columns
            if not (column.bookkeeping or column.provenance or column.name == self.natural_key)
        )


@dataclass(frozen=True, slots=True)
class Tables:
    """What a plugin keeps in the database: one SQL script a schema version, applied in order, never edited."""

    migrations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchHit:
    """One row that a search found; `score` orders hits of one kind only and is above zero."""

    kind: str
    id: str
    title: str
    snippet: str
    score: float
    updated_at: int
    origin_instance: str
    lamport_ts: int


@dataclass(frozen=True, slots=True)
class SearchKind:
    """A kind of row that `crow_search` covers: `find(db, query, limit)` runs on a read connection."""

    name: str
    find: Callable[[Database, str, int], list[SearchHit]]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a plugin says of this instance in a few lines: a kind, its value, and how long it may be kept.

    `shape` is a type, as pydantic reads it, which the value of another instance must fit; None for any small JSON.
    """

    kind: str
    collect: Callable[[Database], object]
    refresh_seconds: int = 3600
    shape: object = None


@dataclass(frozen=True, slots=True)
class Job:
    """Work on a schedule: a plain coroutine function that a test can call without a scheduler."""

    name: str
    run: Callable[[], Awaitable[None]]
    every_seconds: float
    jitter_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command answers: a JSON value for `--json`, and text for a person.

    With a `fault`, the command has failed all the same: its sentence follows, and the exit code is 1.
    """

    value: object
    text: str
    fault: CrowError | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand of `crow`: a function whose annotated parameters become its arguments.

    It prints by returning: an `Answer`, or only text, or only a JSON value. `about` says in the
    help what its group is for; one command of the group is enough to say it.
    """

    name: str
    run: Callable[..., object]
    group: str | None = None
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that an import left out, and why; `here` when it is kept already, just like that."""

    position: int
    reason: str
    here: bool = False


@dataclass(frozen=True, slots=True)
class Format:
    """A way rows leave and come in: `write` yields JSON objects, `read` takes them back.

    `read(records, dry_run)` yields one item a record: None when it was taken, `Skipped`
    when it was not. It writes in batches, so what was yielded as taken is committed once
    the iterator has ended.
    """

    name: str
    kinds: tuple[str, ...]
    write: Callable[[], Iterator[Data]]
    read: Callable[[Iterable[Data], bool], Iterator[Skipped | None]]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `ok`, or what is wrong and what to do about it."""

    ok: bool
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `crow doctor`."""

    name: str
    run: Callable[[], Finding]


@dataclass(frozen=True, slots=True)
class NestPage:
    """A page that a plugin adds to the Nest: where it stands, what it is called, and a Jinja2 template folder."""

    path: str
    title: str
    template: str
    templates: Path
    context: Callable[[Crow], Data] = field(default=lambda crow: {})
