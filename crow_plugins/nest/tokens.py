"""Tokens of assistants: made, shown once, and ended."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from crow_hooks import Crow
from crow_plugins import bearer
from crow_plugins.nest.instances import confirm
from crow_plugins.nest.web import ROOT, Visit, Web, redirect

PAGE = f"{ROOT}/tokens"


class Tokens:
    def __init__(self, crow: Crow, web: Web) -> None:
        self._crow, self._web = crow, web

    async def show(self, visit: Visit) -> Response:
        return self._web.shown(visit, "tokens.html", grants=await asyncio.to_thread(self._grants), token=None)

    async def create(self, visit: Visit) -> Response:
        """A token is shown, so the person is asked again who they are."""
        await confirm(self._web, visit)
        scopes: list[str] = ["read"] if visit.form.get("read_only") else list(bearer.SCOPES)
        token = await asyncio.to_thread(self._create, visit.form.get("label", ""), scopes)
        return self._web.shown(visit, "tokens.html", grants=await asyncio.to_thread(self._grants), token=token)

    async def revoke(self, visit: Visit) -> Response:
        gone = await asyncio.to_thread(self._revoke, visit.path("id"))
        return redirect(PAGE, f"{gone} may call no more")

    def _grants(self) -> list[bearer.Grant]:
        with self._crow.read() as db:
            return bearer.grants(db)

    def _create(self, label: str, scopes: list[str]) -> str:
        with self._crow.transaction() as transaction:
            token, _ = bearer.create(transaction.db, label, scopes, now=transaction.now)
        return token

    def _revoke(self, name: str) -> str:
        with self._crow.transaction() as transaction:
            return bearer.revoke(transaction.db, name, now=transaction.now).label
