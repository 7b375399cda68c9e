"""Tokens of assistants: made, shown once, and ended."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from crow_hooks import Crow, Invalid
from crow_plugins import bearer
from crow_plugins.nest.instances import confirm
from crow_plugins.nest.web import ROOT, Visit, Web, redirect

PAGE = f"{ROOT}/tokens"
DAY_SECONDS = 86_400
DAYS = ("", "30", "90", "365")


class Tokens:
    def __init__(self, crow: Crow, web: Web) -> None:
        self._crow, self._web = crow, web

    async def show(self, visit: Visit) -> Response:
        return await self._shown(visit, None)

    async def create(self, visit: Visit) -> Response:
        """A token is shown, so the person is asked again who they are."""
        await confirm(self._web, visit)
        days = visit.form.get("days", "")
        if days not in DAYS:
            raise Invalid("choose from the list when it ends; nothing was made")
        scopes: list[str] = ["read"] if visit.form.get("read_only") else list(bearer.SCOPES)
        token = await asyncio.to_thread(self._create, visit.form.get("label", ""), scopes, int(days or 0))
        return await self._shown(visit, token)

    async def revoke(self, visit: Visit) -> Response:
        gone = await asyncio.to_thread(self._revoke, visit.path("id"))
        return redirect(PAGE, f"{gone} may call no more")

    async def _shown(self, visit: Visit, token: str | None) -> Response:
        grants, asks = await asyncio.to_thread(self._grants), await self._web.asks(visit)
        return self._web.shown(visit, "tokens.html", grants=grants, token=token, asks=asks)

    def _grants(self) -> list[bearer.Grant]:
        """Those that are good first."""
        with self._crow.read() as db:
            return sorted(bearer.grants(db), key=lambda grant: grant.revoked_at is not None)

    def _create(self, label: str, scopes: list[str], days: int) -> str:
        with self._crow.transaction() as transaction:
            now = transaction.now
            ends = now + days * DAY_SECONDS if days else None
            token, _ = bearer.create(transaction.db, label, scopes, now=now, expires_at=ends)
        return token

    def _revoke(self, name: str) -> str:
        with self._crow.transaction() as transaction:
            return bearer.revoke(transaction.db, name, now=transaction.now).label
