"""Summaries and the audit: what other instances said of themselves, and what they asked of this one."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from crow_hooks import AUDIT_LOG, SUMMARIES, Crow
from crow_plugins.nest.differences import shown
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect

SUMMARIES_PAGE, AUDIT_PAGE = f"{ROOT}/summaries", f"{ROOT}/audit"
AUDIT_ROWS = 100


class Records:
    def __init__(self, crow: Crow, web: Web, house: House) -> None:
        self._crow, self._web, self._house = crow, web, house

    async def summaries(self, visit: Visit) -> Response:
        self._house.require("summaries")
        cached = await asyncio.to_thread(self._crow.service(SUMMARIES).cached)
        rows = [(each, shown(each.value)) for each in cached]
        return self._web.shown(visit, "summaries.html", rows=rows)

    async def refresh(self, visit: Visit) -> Response:
        self._house.require("summaries")
        await self._crow.service(SUMMARIES).refresh()
        return redirect(SUMMARIES_PAGE, "All were asked anew")

    async def audit(self, visit: Visit) -> Response:
        self._house.require("federation")
        log, before = self._crow.service(AUDIT_LOG), visit.query("before")
        place = int(before) if before and before.isdigit() else None
        rows, total = await asyncio.to_thread(lambda: (log.newest(AUDIT_ROWS, place), log.count()))
        older = rows[-1].seq if len(rows) == AUDIT_ROWS else None
        return self._web.shown(visit, "audit.html", rows=rows, total=total, older=older)
