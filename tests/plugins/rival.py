"""A plugin that claims a table of another."""

from __future__ import annotations

from collections.abc import Sequence

from crow_hooks import Column, Crow, SyncedTable, hookimpl


@hookimpl
def register_synced_tables(crow: Crow) -> Sequence[SyncedTable]:
    return [SyncedTable("beads", (Column("colour"),), ("bead_insert",))]
