"""Instances: who is in the chain, how each is, and what it keeps; registering, removing, revoking."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from crow_hooks import REGISTRY, SUMMARIES, Crow, NotFound
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect

PAGE = f"{ROOT}/instances"


class Instances:
    def __init__(self, crow: Crow, web: Web, house: House) -> None:
        self._crow, self._web, self._house = crow, web, house

    async def show(self, visit: Visit) -> Response:
        self._house.require("registry")
        listed = (await self._house.call("crow_list_instances"))["items"]
        feeds = await self._feeds()
        kept = await asyncio.to_thread(self._kept)
        rows = [{**item, "feed": feeds.get(item["id"]), "kept": kept.get(item["id"], {})} for item in listed]
        conflicts = await self._house.call("crow_list_conflicts", limit=1) if self._house.has("replicator") else {}
        return self._web.shown(visit, "instances.html", rows=rows, conflicts=conflicts.get("total", 0))

    async def register(self, visit: Visit) -> Response:
        url, name = visit.form.get("url", "").strip(), visit.form.get("name", "").strip()
        added = await self._house.call("crow_register_instance", gateway_url=url, name=name or None)
        return redirect(PAGE, f"{added['name']} is registered")

    async def check(self, visit: Visit) -> Response:
        found = await self._house.call("crow_check_instance", instance=visit.path("id"))
        return redirect(PAGE, f"{found['name']} answers" if found["reachable"] else str(found["reason"]))

    async def remove(self, visit: Visit) -> Response:
        gone = await self._house.call("crow_remove_instance", instance=visit.path("id"))
        return redirect(PAGE, f"{gone['name']} is off this list")

    async def ask_to_revoke(self, visit: Visit) -> Response:
        known = self._crow.service(REGISTRY).find(visit.path("id"))
        return self._web.shown(visit, "revoke.html", known=known, has_password=await self._has_password())

    async def revoke(self, visit: Visit) -> Response:
        """The password again first: this cannot be taken back."""
        await self._confirm(visit)
        registry = self._crow.service(REGISTRY)
        known = registry.find(visit.path("id"))
        if visit.form.get("name") != known.instance.name:
            raise NotFound("type the instance's name exactly; nothing was revoked")
        await asyncio.to_thread(registry.revoke, known.instance.id, visit.form.get("passphrase") or None)
        return redirect(PAGE, f"{known.instance.name} is revoked")

    async def _confirm(self, visit: Visit) -> None:
        await confirm(self._web, visit)

    async def _has_password(self) -> bool:
        return await asyncio.to_thread(self._web.access.has_password)

    async def _feeds(self) -> dict[str, Any]:
        if not self._house.has("replicator"):
            return {}
        return {feed["instance_id"]: feed for feed in (await self._house.call("crow_sync_status"))["feeds"]}

    def _kept(self) -> dict[str, dict[str, int]]:
        """How many memories and projects each instance said it has."""
        if not self._house.has("summaries"):
            return {}
        kept: dict[str, dict[str, int]] = {}
        for summary in self._crow.service(SUMMARIES).cached():
            counts = kept.setdefault(summary.instance.id, {})
            if summary.kind == "memory_categories" and isinstance(summary.value, dict):
                counts["memories"] = sum(value for value in summary.value.values() if isinstance(value, int))
            if summary.kind == "projects" and isinstance(summary.value, list | dict):
                counts["projects"] = len(summary.value)
        return kept


async def confirm(web: Web, visit: Visit) -> None:
    """The person shows again that it is them, unless they just did. Raises an `AccessRefused`."""
    if not visit.session.fresh:
        await asyncio.to_thread(web.access.confirm, visit.session, visit.form.get("password", ""))
