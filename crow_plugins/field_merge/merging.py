"""Three-way merge of a row by its fields: what only one side changed is taken from that side.

A field that both changed to different values is the operator's to settle, and then so is the whole row.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from crow_hooks import Conflict, Crow, Data, Resolution, SyncedTable


def merged(conflict: Conflict, base: Data, unmerged: Collection[str]) -> Resolution | None:
    """How to settle a conflict whose sides changed different fields of `base`; None if they changed one both."""
    local = _changed(conflict.local, base, unmerged)
    remote = _changed(conflict.remote, base, unmerged)
    if any(local[name] != remote[name] for name in local.keys() & remote.keys()):
        return None
    taken = {name: value for name, value in remote.items() if name not in local}
    return Resolution("merge", taken) if taken else Resolution("local")


def unmerged_of(crow: Crow, table: str) -> frozenset[str]:
    """The columns of a table that no merge may name, such as those that are stamped with every write."""
    answers = cast(Sequence[Sequence[SyncedTable]], crow.hook.collect("register_synced_tables"))
    return frozenset(
        column.name
        for tables in answers
        for each in tables
        if each.name == table
        for column in each.columns
        if column.name not in each.mergeable
    )


def _changed(side: Data, base: Data, unmerged: Collection[str]) -> dict[str, object]:
    return {name: value for name, value in side.items() if name not in unmerged and not _same(value, base.get(name))}


def _same(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
