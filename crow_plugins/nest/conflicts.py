"""Conflicts: listed, two versions side by side with what differs marked, and settled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from crow_hooks import CONFLICTS, Crow, Invalid, Resolution, SyncedTable
from crow_plugins.nest.differences import alike, differences
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect
from crow_plugins.premises import Premises

PAGE = f"{ROOT}/conflicts"
PAGE_ROWS = 50
FIELD = "field:"
BUTTONS = {
    None: ("Keep this side", "Take the other"),
    "remote": ("Keep the row", "Delete it"),
    "local": ("Keep it deleted", "Bring the other back"),
}


class Conflicts:
    def __init__(self, crow: Crow, web: Web, house: House, premises: Premises) -> None:
        self._crow, self._web, self._house, self._premises = crow, web, house, premises

    async def list(self, visit: Visit) -> Response:
        self._house.require("replicator")
        table, instance_id, settled = visit.query("table"), visit.query("instance"), visit.query("settled") == "1"
        page = await self._house.call(
            "crow_list_conflicts",
            table=table or None,
            instance=instance_id or None,
            unresolved_only=not settled,
            limit=PAGE_ROWS,
            cursor=visit.query("cursor"),
        )
        kept = {"table": table or "", "instance": instance_id or "", "settled": "1" if settled else ""}
        return self._web.shown(
            visit,
            "conflicts.html",
            page=page,
            table=table,
            instance_id=instance_id,
            settled=settled,
            tables=sorted(self._tables()),
            names=self._house.names(),
            older=f"{PAGE}?{urlencode({**kept, 'cursor': page['next_cursor'] or ''})}",
        )

    async def show(self, visit: Visit) -> Response:
        self._house.require("replicator")
        found = await self._house.call("crow_get_conflict", conflict_id=visit.path("id"))
        local, remote = self._told(found, "local"), self._told(found, "remote")
        keep, take = BUTTONS[found["deleted_by"]]
        return self._web.shown(
            visit,
            "conflict.html",
            conflict=found,
            fields=differences(local, remote, found["base"]),
            same=alike(local, remote),
            mergeable=self._mergeable(found),
            local=self._side(found["local_instance_id"], found["local"]),
            remote=self._side(found["remote_instance_id"], found["remote"]),
            keep=keep,
            take=take,
        )

    async def resolve(self, visit: Visit) -> Response:
        self._house.require("replicator")
        conflict_id = visit.path("id")
        resolution = await self._resolution(visit, conflict_id)
        await asyncio.to_thread(lambda: self._crow.service(CONFLICTS).resolve(conflict_id, resolution, by="person"))
        return redirect(PAGE, "The conflict is settled, on every machine")

    async def _resolution(self, visit: Visit, conflict_id: str) -> Resolution:
        match visit.form.get("resolution"):
            case "local":
                return Resolution("local")
            case "remote":
                return Resolution("remote")
            case "merge":
                found = await self._house.call("crow_get_conflict", conflict_id=conflict_id)
                return Resolution("merge", _merged(visit, found["local"], found["remote"]))
        raise Invalid("choose one side, or merge them; nothing was settled")

    def _tables(self) -> dict[str, SyncedTable]:
        found = self._premises.contributions("register_synced_tables", SyncedTable)
        return {table.name: table for _, table in found}

    def _told(self, found: Mapping[str, Any], side: str) -> dict[str, object]:
        """A side without the columns that make no two versions differ, such as the time of the change."""
        table = self._tables().get(found["table"])
        silent = {column.name for column in table.columns if column.bookkeeping} if table else set()
        return {name: value for name, value in found[side].items() if name not in silent}

    def _mergeable(self, found: Mapping[str, Any]) -> Collection[str]:
        """The fields that a person may merge, of those in which two versions of a row differ that nobody deleted."""
        table = self._tables().get(found["table"])
        return set(table.mergeable).intersection(found["fields"]) if table and found["deleted_by"] is None else ()

    def _side(self, instance_id: str | None, data: Mapping[str, object]) -> dict[str, object]:
        """Who wrote a side, and when, as far as the row says that."""
        at = data.get("updated_at")
        name = None if instance_id is None else self._house.names().get(instance_id, instance_id)
        return {"name": name, "at": at if isinstance(at, int) else None}


def _merged(visit: Visit, local: dict[str, object], remote: dict[str, object]) -> dict[str, object]:
    """The fields of the merge editor; what is no text is JSON there."""
    merged: dict[str, object] = {}
    for name, typed in visit.form.items():
        if name.startswith(FIELD):
            field = name.removeprefix(FIELD)
            merged[field] = _value(field, typed, local.get(field), remote.get(field))
    return merged


def _value(field: str, typed: str, one: object, other: object) -> object:
    text = typed.replace("\r\n", "\n")  # how browsers send a text area
    if isinstance(one, str | None) and isinstance(other, str | None):
        return None if text == "null" and None in (one, other) else text
    try:
        value: object = json.loads(text)
    except ValueError:
        raise Invalid(f"{field} is no JSON value; write it as it stands on one of the two sides") from None
    return value
