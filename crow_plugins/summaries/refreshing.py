"""Asking others what they say of themselves: what is due, all instances at once, and no key twice at the same time.

What does not fit changes nothing: the value heard before stays, beside the error. Who asks for a key that is being
refreshed waits for that. In two processes of one home only one runs the scheduled work; a refresh that somebody asks
for in the other may meet it, and the later one stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from crow_hooks import CachedSummary, CallAnswer, Crow, Federation, Job, NotFound, Summary
from crow_plugins.summaries.cache import Cache, Kept
from crow_plugins.summaries.cleaning import REASON_MAX, BadSummary, cleaned, one_line
from crow_plugins.summaries.kinds import HEALTH, Kinds

log = logging.getLogger(__name__)

LOOK_SECONDS, JITTER_SECONDS = 60.0, 10.0
RETRY_SECONDS = 300
TOOL = "crow_local_summary"
UNTOLD = "the other instance does not tell this"


class Item(BaseModel):
    """One kind as another instance tells it; without a value where it is what the etag names."""

    kind: str = Field(max_length=64)
    etag: str = Field(min_length=1, max_length=64)
    unchanged: bool = False
    value: Any = None


class Answer(BaseModel):
    """What `crow_local_summary` answers; `now` is the other's clock, in unix seconds."""

    now: int
    items: list[Item] = Field(max_length=200)


class Refreshing:
    """See `crow_hooks.Summaries`."""

    def __init__(self, crow: Crow, cache: Cache, kinds: Kinds, federation: Federation) -> None:
        self._crow, self._cache, self._kinds, self._federation = crow, cache, kinds, federation
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    def cached(self, instance_id: str | None = None, kinds: Sequence[str] = ()) -> list[CachedSummary]:
        return [each for each in self._cache.listed(instance_id) if not kinds or each.kind in kinds]

    async def refresh(self, instance_id: str | None = None) -> list[CachedSummary]:
        known = [instance.id for instance in await asyncio.to_thread(self._cache.instances)]
        if instance_id is not None and instance_id not in known:
            raise NotFound("no such instance; list them with crow_list_instances")
        names = frozenset(self._kinds.all())
        await self._ask(dict.fromkeys([instance_id] if instance_id else known, names))
        return await asyncio.to_thread(self.cached, instance_id)

    async def refresh_due(self) -> None:
        """The job: ask everybody for what is due."""
        await asyncio.to_thread(self._cache.forget)
        await self._ask(await asyncio.to_thread(self._due))

    def jobs(self) -> list[Job]:
        return [Job("refresh", self.refresh_due, every_seconds=LOOK_SECONDS, jitter_seconds=JITTER_SECONDS)]

    async def close(self) -> None:
        running = set(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    # ---- what is due ----------------------------------------------------------------------------

    def _due(self) -> dict[str, frozenset[str]]:
        now, rows, kinds = self._crow.now(), self._cache.rows(), self._kinds.all()
        due = {
            instance.id: frozenset(
                name for name, kind in kinds.items() if _is_due(rows.get((instance.id, name)), kind, now)
            )
            for instance in self._cache.instances()
        }
        return {instance_id: names for instance_id, names in due.items() if names}

    async def _ask(self, wanted: Mapping[str, Collection[str]]) -> None:
        waiting: set[asyncio.Task[None]] = set()
        for instance_id, names in wanted.items():
            free = [name for name in sorted(names) if (instance_id, name) not in self._running]
            if free:
                self._begin(instance_id, free)
            waiting |= {self._running[instance_id, name] for name in names}
        if waiting:  # not cancelled with whoever waits: others may be waiting too
            await asyncio.wait(waiting)

    def _begin(self, instance_id: str, names: Sequence[str]) -> None:
        task = asyncio.create_task(self._refresh(instance_id, names))
        for name in names:
            self._running[instance_id, name] = task

        def done(task: asyncio.Task[None]) -> None:
            for name in names:
                del self._running[instance_id, name]
            if not task.cancelled() and task.exception() is not None:
                log.error("refresh failed instance=%s", instance_id, exc_info=task.exception())

        task.add_done_callback(done)

    # ---- one instance ---------------------------------------------------------------------------

    async def _refresh(self, instance_id: str, names: Sequence[str]) -> None:
        kinds = self._kinds.all()
        rows = await asyncio.to_thread(self._cache.rows, instance_id)
        etags = {
            name: row.etag for (_, name), row in rows.items() if name in names and row.etag and row.value is not None
        }
        asked_at = self._crow.now()
        outcome = await self._federation.call(instance_id, TOOL, {"kinds": list(names), "known": etags})
        answer: Answer | str
        if isinstance(outcome, CallAnswer):
            answer = _read(outcome.structured)
        elif outcome.code == "tool_error":
            answer = UNTOLD
        else:  # the reason may be in the other's own words
            answer = one_line(f"{outcome.code}: {outcome.reason}", REASON_MAX)
        offset = answer.now - (asked_at + self._crow.now()) // 2 if isinstance(answer, Answer) else 0
        for name in names:
            await self._settle(instance_id, kinds[name], rows.get((instance_id, name)), answer, offset)

    async def _settle(
        self, instance_id: str, kind: Summary, row: Kept | None, answer: Answer | str, offset: int
    ) -> None:
        try:
            value, etag = _value(kind, row, answer)
        except BadSummary as error:
            await asyncio.to_thread(self._cache.fail, instance_id, kind.kind, str(error))
            return
        if kind.kind == HEALTH:
            value = {**value, "clock_offset_seconds": offset}
        await asyncio.to_thread(self._cache.keep, instance_id, kind.kind, value, etag, kind.refresh_seconds)
        self._crow.notify("summary_refreshed", instance_id=instance_id, kind=kind.kind)


def _is_due(row: Kept | None, kind: Summary, now: int) -> bool:
    if row is None:
        return True
    pause = kind.refresh_seconds if row.error is None else min(kind.refresh_seconds, RETRY_SECONDS)
    return now - row.tried_at >= pause or now < row.tried_at  # a clock that was set back must not stop it


def _read(structured: object) -> Answer | str:
    try:
        return Answer.model_validate(structured)
    except ValidationError:
        return "the other instance answered with something else than a summary"


def _value(kind: Summary, row: Kept | None, answer: Answer | str) -> tuple[Any, str]:
    """What is to be kept of an answer. Raises `BadSummary`."""
    if isinstance(answer, str):
        raise BadSummary(answer)
    item = next((each for each in answer.items if each.kind == kind.kind), None)
    if item is None:
        raise BadSummary(UNTOLD)
    if not item.unchanged:
        return cleaned(item.value, kind.shape), item.etag
    if row is None or row.value is None or row.etag != item.etag:
        raise BadSummary("the other instance says that nothing changed since something that is not known here")
    return row.value, item.etag
