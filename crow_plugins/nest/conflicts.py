"""Conflicts: listed, two versions side by side with what differs marked, and settled."""

from __future__ import annotations

import json

from starlette.responses import Response

from crow_hooks import Invalid
from crow_plugins.nest.differences import differences
from crow_plugins.nest.house import House
from crow_plugins.nest.web import ROOT, Visit, Web, redirect

PAGE = f"{ROOT}/conflicts"
FIELD = "field:"


class Conflicts:
    def __init__(self, web: Web, house: House) -> None:
        self._web, self._house = web, house

    async def list(self, visit: Visit) -> Response:
        self._house.require("replicator")
        table, settled = visit.query("table") or None, visit.query("settled") == "1"
        page = await self._house.call(
            "crow_list_conflicts", table=table, unresolved_only=not settled, limit=50, cursor=visit.query("cursor")
        )
        return self._web.shown(visit, "conflicts.html", page=page, table=table, settled=settled)

    async def show(self, visit: Visit) -> Response:
        self._house.require("replicator")
        found = await self._house.call("crow_get_conflict", conflict_id=visit.path("id"))
        fields = differences(found["local"], found["remote"], found["base"])
        return self._web.shown(visit, "conflict.html", conflict=found, fields=fields)

    async def resolve(self, visit: Visit) -> Response:
        resolution, conflict_id = visit.form.get("resolution", ""), visit.path("id")
        merged = None
        if resolution == "merge":
            found = await self._house.call("crow_get_conflict", conflict_id=conflict_id)
            merged = _merged(visit, found["local"], found["remote"])
        await self._house.call(
            "crow_resolve_conflict", conflict_id=conflict_id, resolution=resolution, merged_data=merged
        )
        return redirect(PAGE, "The conflict is settled, on every machine")


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
