"""A plugin for tests: it notes every notification by its name, in a list that only grows."""

from __future__ import annotations

from crow_hooks import Change, Conflict, Crow, Entry, ServiceKey, hookimpl

HEARD: ServiceKey[list[tuple[str, ...]]] = ServiceKey("overheard")


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(HEARD, [])


@hookimpl
def entry_appended(crow: Crow, change: Change, seq: int) -> None:
    crow.service(HEARD).append(("entry_appended", change.type, str(seq)))


@hookimpl
async def change_applied(crow: Crow, entry: Entry) -> None:
    crow.service(HEARD).append(("change_applied", entry.type))


@hookimpl
def entry_rejected(crow: Crow, instance_id: str, seq: int, reason: str) -> None:
    crow.service(HEARD).append(("entry_rejected", instance_id, reason))


@hookimpl
async def entry_parked(crow: Crow, instance_id: str, seq: int, reason: str) -> None:
    crow.service(HEARD).append(("entry_parked", instance_id, reason))


@hookimpl
def conflict_detected(crow: Crow, conflict: Conflict) -> None:
    crow.service(HEARD).append(("conflict_detected", conflict.id))


@hookimpl
async def conflict_resolved(crow: Crow, conflict_id: str, resolution: str) -> None:
    crow.service(HEARD).append(("conflict_resolved", conflict_id, resolution))
