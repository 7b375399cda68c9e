"""The kinds of summaries there are here: those of the plugins that are on, and `health`, which is this plugin's own."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import NonNegativeInt
from typing_extensions import TypedDict

from crow_hooks import REPLICATION, Crow, NotFound, SearchKind, Summary, SyncedTable
from crow_plugins import __version__
from crow_plugins.summaries.cleaning import BadSummary, cleaned

if TYPE_CHECKING:
    from peewee import Database

log = logging.getLogger(__name__)

Kind = TypeVar("Kind")
HEALTH = "health"
HEALTH_SECONDS = 300


class Health(TypedDict):
    """How an instance is, by its own words: feed lengths by instance id, rows by table (None: it cannot tell all)."""

    version: str
    feeds: dict[str, NonNegativeInt]
    rows: dict[str, NonNegativeInt] | None


@dataclass(frozen=True, slots=True)
class Told:
    """One kind as this instance tells it now; `etag` stays the same while the value does."""

    kind: str
    value: Any
    etag: str


class Kinds:
    """What this instance says of itself."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow

    def all(self) -> Mapping[str, Summary]:
        """By name; the first plugin that registers a name has it."""
        kinds = {HEALTH: Summary(HEALTH, self._health, HEALTH_SECONDS, Health)}
        for answer in self._crow.hook.collect("register_summary"):
            for summary in answer if isinstance(answer, list | tuple) else [answer]:
                if isinstance(summary, Summary):
                    kinds.setdefault(summary.kind, summary)
        return kinds

    def told(self, names: list[str] | None = None) -> list[Told]:
        """Everything, or these kinds. A kind that cannot be told is left out and logged. Database work."""
        found = [summary for name, summary in self.all().items() if names is None or name in names]
        with self._crow.read() as db:
            told = [self._one(summary, db) for summary in found]
        return [each for each in told if each is not None]

    def _one(self, summary: Summary, db: Database) -> Told | None:
        try:
            value = cleaned(summary.collect(db), summary.shape)
        except BadSummary as error:
            log.warning("summary not told kind=%s reason=%s", summary.kind, error)
            return None
        except Exception:  # other people's code; the other kinds are told all the same
            log.exception("summary failed kind=%s", summary.kind)
            return None
        return Told(summary.kind, value, etag_of(value))

    def _health(self, db: Database) -> Health:
        return {"version": __version__, "feeds": self._feeds(), "rows": self._rows(db)}

    def _feeds(self) -> dict[str, int]:
        try:
            replication = self._crow.service(REPLICATION)
        except NotFound:
            return {}
        return {feed.instance.id: feed.held for feed in replication.status()}

    def _rows(self, db: Database) -> dict[str, int] | None:
        """None where a kind that the search covers has no table that travels: then the counts do not tell all."""
        tables = self._contributed("register_synced_tables", SyncedTable)
        if len(self._contributed("register_search", SearchKind)) > len(tables):
            return None
        return {table.name: db.execute_sql(f"SELECT count(*) FROM {table.name}").fetchone()[0] for table in tables}

    def _contributed(self, hook: str, kind: type[Kind]) -> list[Kind]:
        answers = self._crow.hook.collect(hook)
        each_answer = [answer for answer in answers if isinstance(answer, list | tuple)]
        return [each for answer in each_answer for each in answer if isinstance(each, kind)]


def etag_of(value: object) -> str:
    spelled = json.dumps(value, sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")
    return hashlib.blake2b(spelled, digest_size=16).hexdigest()
