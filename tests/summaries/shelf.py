"""A plugin with a summary of its own, one that fails, and a note of what was refreshed."""

from __future__ import annotations

from peewee import Database

from crow_hooks import Crow, ServiceKey, Summary, hookimpl

REFRESHED: ServiceKey[list[tuple[str, str]]] = ServiceKey("refreshed")


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(REFRESHED, [])


@hookimpl
def register_summary(crow: Crow) -> list[Summary]:
    def collect(db: Database) -> object:
        return ["<b>atlas</b>\x07", "\u202eherbal"]

    def fail(db: Database) -> object:
        raise LookupError("nothing on the shelf")

    return [
        Summary("broken", fail, refresh_seconds=600),
        Summary("shelf", collect, refresh_seconds=600, shape=list[str]),
    ]


@hookimpl
def summary_refreshed(crow: Crow, instance_id: str, kind: str) -> None:
    crow.service(REFRESHED).append((instance_id, kind))
