"""Instances: who is in the chain, how each is, what it keeps and may call; registering, removing, revoking."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.responses import Response

from crow_hooks import EXPOSURE, REGISTRY, SUMMARIES, Crow, Invalid, KnownInstance, NotFound, OpenTool
from crow_plugins import remarks
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect
from crow_plugins.wording import plural

PAGE = f"{ROOT}/instances"


class Instances:
    def __init__(self, crow: Crow, web: Web, house: House) -> None:
        self._crow, self._web, self._house = crow, web, house

    async def show(self, visit: Visit) -> Response:
        self._house.require("registry")
        listed = (await self._house.call("crow_list_instances"))["items"]
        status = await self._house.sync_status()
        feeds = {feed["instance_id"]: feed for feed in status.get("feeds", [])}
        kept = await self._kept()
        rows = [{**item, "feed": feeds.get(item["id"]), "kept": kept.get(item["id"], {})} for item in listed]
        return self._web.shown(visit, "instances.html", rows=rows, remarks=remarks.of_instances(rows, status))

    async def one(self, visit: Visit) -> Response:
        known = self._known(visit)
        item = await self._house.call("crow_get_instance", instance=known.instance.id)
        feeds = (await self._house.sync_status()).get("feeds", [])
        feed = next((feed for feed in feeds if feed["instance_id"] == known.instance.id), None)
        every = await self._house.tools()
        tools = await self._said(known, every)
        said = {row.tool for row in tools or () if row.allowed}
        return self._web.shown(
            visit,
            "instance.html",
            item=item,
            feed=feed,
            tools=tools,
            closed=sorted(every.keys() - said),
            writing={name for name, writes in every.items() if writes},
            asks=await self._web.asks(visit),
        )

    async def register(self, visit: Visit) -> Response:
        url, name = visit.form.get("url", "").strip(), visit.form.get("name", "").strip()
        added = await self._house.call("crow_register_instance", gateway_url=url, name=name or None)
        return redirect(PAGE, f"{added['name']} is registered")

    async def check(self, visit: Visit) -> Response:
        found = await self._house.call("crow_check_instance", instance=visit.path("id"))
        said = f"{found['name']} answers, and is itself" if found["reachable"] else str(found["reason"])
        return redirect(_page(found["id"]), said)

    async def sync(self, visit: Visit) -> Response:
        progress = await self._house.call("crow_sync_now", instance=visit.path("id"), wait_seconds=5.0)
        return redirect(_page(visit.path("id")), said_of(progress))

    async def update(self, visit: Visit) -> Response:
        name, url = visit.form.get("name", "").strip(), visit.form.get("url", "").strip()
        found = await self._house.call(
            "crow_update_instance", instance=visit.path("id"), name=name or None, gateway_url=url
        )
        return redirect(_page(found["id"]), "Saved")

    async def remove(self, visit: Visit) -> Response:
        gone = await self._house.call("crow_remove_instance", instance=visit.path("id"))
        return redirect(PAGE, f"{gone['name']} is off this list")

    async def expose(self, visit: Visit) -> Response:
        """Close a tool to an instance, or open one; what can write needs the person shown again."""
        self._house.require("federation")
        known, tool = self._known(visit), visit.form.get("tool", "")
        exposure = self._crow.service(EXPOSURE)
        if visit.form.get("act") == "deny":
            await asyncio.to_thread(exposure.deny, tool, known.instance.id)
            return redirect(_page(known.instance.id), f"{tool} is closed to {known.instance.name}")
        every = await self._house.tools()
        if tool not in every:
            raise Invalid("there is no such tool here; choose one from the list")
        if every[tool]:
            await confirm(self._web, visit)
        await asyncio.to_thread(lambda: exposure.expose(tool, known.instance.id, writes=every[tool]))
        return redirect(_page(known.instance.id), f"{tool} is open to {known.instance.name}")

    async def ask_to_revoke(self, visit: Visit) -> Response:
        return self._web.shown(visit, "revoke.html", known=self._known(visit), asks=await self._web.asks(visit))

    async def revoke(self, visit: Visit) -> Response:
        """The password again first: this cannot be taken back."""
        known = self._known(visit)
        await confirm(self._web, visit)
        if visit.form.get("name") != known.instance.name:
            raise NotFound("type the instance's name exactly; nothing was revoked")
        revoke, passphrase = self._crow.service(REGISTRY).revoke, visit.form.get("passphrase") or None
        await asyncio.to_thread(revoke, known.instance.id, passphrase)
        return redirect(PAGE, f"{known.instance.name} is revoked")

    def _known(self, visit: Visit) -> KnownInstance:
        self._house.require("registry")
        return self._crow.service(REGISTRY).find(visit.path("id"))

    async def _said(self, known: KnownInstance, every: dict[str, bool]) -> list[OpenTool] | None:
        """What it may call, but for tools that the settings name and no plugin has here."""
        if not self._house.has("federation"):
            return None
        said = await asyncio.to_thread(self._crow.service(EXPOSURE).said, known.instance.id)
        return [row for row in said if row.tool in every or row.said_for != "setting"]

    async def _kept(self) -> dict[str, dict[str, int]]:
        """How many memories and projects each instance has: this one as it is, the others as they last said."""
        counts = {self._crow.instance.id: await asyncio.to_thread(self._own_counts)}
        if self._house.has("summaries"):
            for summary in await asyncio.to_thread(self._crow.service(SUMMARIES).cached):
                counts.setdefault(summary.instance.id, {}).update(_counted(summary.kind, summary.value))
        return counts

    def _own_counts(self) -> dict[str, int]:
        """By the same summaries that the others ask for."""
        counts: dict[str, int] = {}
        with self._crow.read() as db:
            for summary in self._house.summaries():
                counts |= _counted(summary.kind, summary.collect(db))
        return counts


async def confirm(web: Web, visit: Visit) -> None:
    """The person shows again that it is them, unless they just did. Raises an `AccessRefused`."""
    if not visit.session.fresh:
        await asyncio.to_thread(web.access.confirm, visit.session, visit.form.get("password", ""))


def said_of(progress: dict[str, Any]) -> str:
    return (
        "Everything is here"
        if progress["complete"]
        else f"{plural(progress['remaining'], 'entry is', 'entries are')} still to come"
    )


def _page(instance_id: str) -> str:
    return f"{PAGE}/{instance_id}"


def _counted(kind: str, value: object) -> dict[str, int]:
    if kind == "memory_categories" and isinstance(value, dict):
        return {"memories": sum(count for count in value.values() if isinstance(count, int))}
    if kind == "projects" and isinstance(value, list | dict):
        return {"projects": len(value)}
    return {}
