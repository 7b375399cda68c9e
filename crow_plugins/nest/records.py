"""Summaries and the audit: what other instances said of themselves, and what they asked of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import urlencode

from starlette.responses import Response

from crow_hooks import AUDIT_LOG, SUMMARIES, CachedSummary, Crow
from crow_plugins.nest.differences import shown
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect
from crow_plugins.wording import number

SUMMARIES_PAGE, AUDIT_PAGE = f"{ROOT}/summaries", f"{ROOT}/audit"
AUDIT_ROWS = 100
CHIPS_MAX = 60
KINDS = {"memory_categories": "Memories by category", "projects": "Projects", "health": "How it is"}
NAMED = ("name", "title")


@dataclass(frozen=True, slots=True)
class Told:
    """One kind of summary as the page shows it: `chips` where the value is a list or counts, else `text`."""

    kind: str
    fetched_at: int | None
    stale: bool
    error: str | None
    chips: Sequence[tuple[str, str]] | None
    more: int
    text: str


class Records:
    def __init__(self, crow: Crow, web: Web, house: House) -> None:
        self._crow, self._web, self._house = crow, web, house

    async def summaries(self, visit: Visit) -> Response:
        self._house.require("summaries")
        cached = await asyncio.to_thread(self._crow.service(SUMMARIES).cached)
        ordered = sorted(cached, key=lambda each: (each.instance.name, each.instance.id, each.kind))
        grouped = groupby(ordered, key=lambda each: each.instance)
        instances = [(instance.name, [told(each) for each in kinds]) for instance, kinds in grouped]
        return self._web.shown(visit, "summaries.html", instances=instances)

    async def refresh(self, visit: Visit) -> Response:
        self._house.require("summaries")
        await self._crow.service(SUMMARIES).refresh()
        return redirect(SUMMARIES_PAGE, "All were asked anew")

    async def audit(self, visit: Visit) -> Response:
        self._house.require("federation")
        log, before, instance_id = self._crow.service(AUDIT_LOG), visit.query("before"), visit.query("instance")
        place = int(before) if before and before.isdecimal() and len(before) < 16 else None
        rows, total = await asyncio.to_thread(lambda: (log.newest(AUDIT_ROWS, place, instance_id or None), log.count()))
        older = {"instance": instance_id or "", "before": rows[-1].seq} if len(rows) == AUDIT_ROWS else None
        return self._web.shown(
            visit,
            "audit.html",
            rows=rows,
            total=total,
            names=self._house.names(),
            instance_id=instance_id,
            older=older and f"{AUDIT_PAGE}?{urlencode(older)}",
        )


def told(summary: CachedSummary) -> Told:
    chips = _chips(summary.value)
    return Told(
        kind=KINDS.get(summary.kind, summary.kind),
        fetched_at=summary.fetched_at,
        stale=summary.stale,
        error=summary.error,
        chips=None if chips is None else chips[:CHIPS_MAX],
        more=0 if chips is None else max(0, len(chips) - CHIPS_MAX),
        text=shown(summary.value),
    )


def _chips(value: object) -> list[tuple[str, str]] | None:
    """Names, or names with counts; None for what is neither."""
    if isinstance(value, dict) and all(isinstance(each, str | int | float | None) for each in value.values()):
        return [(str(name), number(each) if isinstance(each, int) else shown(each)) for name, each in value.items()]
    if isinstance(value, list) and all(isinstance(each, str | dict) for each in value):
        return [(_name(each), "") for each in value]
    return None


def _name(each: object) -> str:
    if not isinstance(each, dict):
        return str(each)
    return next((str(each[key]) for key in NAMED if each.get(key)), shown(each))
