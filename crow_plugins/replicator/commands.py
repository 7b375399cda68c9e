"""`crow sync`: how far the machines are with each other, and conflicts settled by a person."""

from __future__ import annotations

import asyncio
import json
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from crow_hooks import Answer, Command, CrowError, Invalid, Resolution, SyncProgress, Trouble
from crow_plugins.remarks import Remark, of_conflicts, of_sync
from crow_plugins.replicator.conflicts import ConflictRecord, Conflicts
from crow_plugins.replicator.sync import InstanceSyncManager
from crow_plugins.replicator.tools import ConflictAnswer, conflict_answer, sync_answer
from crow_plugins.wording import ago, called, columns, duration, number, plural

TITLE_MAX = 70
TROUBLES_SHOWN = 5


class NotInSync(CrowError):
    """Not everything that the others have is here, or not everybody was reached."""

    code = "not_in_sync"

    def __init__(self, missing: Sequence[str]) -> None:
        super().__init__(
            f"not everybody was reached; see why with: crow instances check {missing[0]}"
            if missing
            else "not everything is here yet; wait longer with --wait, or see why with: crow sync status"
        )


def commands(own_id: str, sync: InstanceSyncManager, conflicts: Conflicts) -> Sequence[Command]:
    return [
        Command(
            "status",
            _status(own_id, sync, conflicts),
            group="sync",
            about="How far the machines are with each other, and conflicts.",
        ),
        Command("now", _now(sync), group="sync"),
        Command("conflicts", _conflicts(conflicts), group="sync"),
        Command("show", _show(sync, conflicts), group="sync"),
        Command("resolve", _resolve(conflicts), group="sync"),
    ]


def _status(own_id: str, sync: InstanceSyncManager, conflicts: Conflicts) -> Callable[..., object]:
    def status() -> object:
        """Show how far this machine and the others are with each other's changes."""
        answer = sync_answer(own_id, sync, conflicts).model_dump()
        said = of_sync(answer) or [Remark("good", "Everything that was heard of is here")]
        lines = [remark.text for remark in [*said, *of_conflicts(answer["open_conflicts"])]]
        names = {feed["instance_id"]: feed["name"] for feed in answer["feeds"]}
        why = [_trouble(each, names) for each in sync.troubles()[:TROUBLES_SHOWN]]
        return Answer(answer, "\n".join([*lines, *why, "", _feeds(answer["feeds"], int(time.time()))]))

    return status


def _trouble(trouble: Trouble, names: Mapping[str, str]) -> str:
    what = {"parked": "waits", "rejected": "was refused"}[trouble.kind]
    detail = f": {trouble.detail}" if trouble.detail else ""
    named = names.get(trouble.instance_id, trouble.instance_id)
    return f"    entry {trouble.seq} of {named} {what} ({trouble.reason}){detail}"


def _now(sync: InstanceSyncManager) -> Callable[..., object]:
    def now(
        instance: str | None = None,
        /,
        *,
        wait: Annotated[float, Parameter(help="How many seconds to wait for it.")] = 30.0,
    ) -> object:
        """Connect to the other machines, and wait until their changes are here; lets a peer in that was shut out.

        It has failed, with exit code 1, unless everybody was reached and everything is here.

        Parameters
        ----------
        instance
            Only this one, by id or name.
        """
        if not wait >= 0:  # NaN neither
            raise Invalid("--wait is how many seconds to wait; give 0 or more")
        progress = asyncio.run(sync.sync_once(instance, wait))
        fault = None if progress.complete else NotInSync(progress.missing)
        return Answer(asdict(progress), _came_of(progress), fault)

    return now


def _came_of(progress: SyncProgress) -> str:
    if progress.complete:
        return "Everything is here."
    lines = [f"{plural(progress.remaining, 'entry is', 'entries are')} still to come."] if progress.remaining else []
    if progress.missing:
        lines.append(f"Not reached: {', '.join(progress.missing)}")
    return "\n".join(lines)


def _conflicts(conflicts: Conflicts) -> Callable[..., object]:
    def list_conflicts(
        *,
        table: Annotated[str | None, Parameter(help="Only of this table.")] = None,
        settled: Annotated[bool, Parameter(help="Those that are settled too.", negative=())] = False,
        limit: Annotated[int, Parameter(help="How many at the most.")] = 50,
    ) -> object:
        """List rows that were changed on two machines without their knowing of each other."""
        if limit < 1:
            raise Invalid("--limit is how many conflicts to show; give 1 or more")
        page = conflicts.list(table=table, unresolved_only=not settled, limit=limit)
        items = [conflict_answer(record).model_dump() for record in page.items]
        lines = [_line(record) for record in page.items] or ["There is no conflict."]
        if page.total > len(items) > 0:
            lines.append(f"{len(items)} of {number(page.total)}, the newest first; --limit shows more.")
        return Answer({"items": items, "total": page.total}, "\n".join(lines))

    return list_conflicts


def _show(sync: InstanceSyncManager, conflicts: Conflicts) -> Callable[..., object]:
    def show(conflict: str, /) -> object:
        """Show both versions of a conflict, and what they go back to.

        Parameters
        ----------
        conflict
            Its id, as crow sync conflicts lists it.
        """
        record, sides = conflicts.get(conflict), conflicts.sides(conflict)
        answer = conflict_answer(record, sides)
        parts = {"here": answer.local, "other": answer.remote, "before": answer.base}
        rows = [f"{field}:\n{_values(field, parts)}" for field in answer.fields]
        names = {feed.instance.id: feed.instance.name for feed in sync.status()}
        return Answer(answer.model_dump(), "\n".join([_line(record), *_written_by(answer, names), *rows]))

    return show


def _written_by(answer: ConflictAnswer, names: Mapping[str, str]) -> list[str]:
    """Whose the two versions are, and which of them deleted the row; nothing of one that is settled."""
    if answer.local_instance_id is None:
        return []
    local, remote = (names.get(each, each) for each in (answer.local_instance_id, answer.remote_instance_id))
    here, other = ("deleted by" if answer.deleted_by == side else "written by" for side in ("local", "remote"))
    return [f"    here: {here} {local}; other: {other} {remote}"]


def _resolve(conflicts: Conflicts) -> Callable[..., object]:
    def resolve(
        conflict: str,
        resolution: Literal["local", "remote", "merge"],
        /,
        *,
        data: Annotated[str | None, Parameter(help="For a merge: a JSON object of the fields that change.")] = None,
    ) -> object:
        """Settle a conflict on every machine.

        Parameters
        ----------
        conflict
            Its id, as crow sync conflicts lists it.
        resolution
            local keeps the version shown here, remote takes the other one, merge takes local with --data over it.
        """
        settled = conflicts.resolve(conflict, Resolution(resolution, _object(data)), by="person")
        return Answer(conflict_answer(settled).model_dump(), _line(settled))

    return resolve


def _feeds(feeds: Sequence[Mapping[str, Any]], now: int) -> str:
    heads = ("feed of", "connection", "signed", "held", "applied", "waits", "refused", "last sync", "has ours")
    own = next((int(feed["length"]) for feed in feeds if feed["own"]), 0)
    rows = [
        (
            feed["name"],
            "this machine" if feed["own"] else "connected" if feed["connected"] else "not connected",
            *(number(feed[what]) for what in ("length", "held", "applied", "parked", "rejected")),
            "-" if feed["own"] else ago(feed["last_sync"], now),
            _has_ours(feed, own),
        )
        for feed in feeds
    ]
    return columns(heads, rows, frozenset(range(2, 7)))


def _has_ours(feed: Mapping[str, Any], length: int) -> str:
    """How much of this machine's feed a connected one lacks, or how soon it had the last of it."""
    if feed["own"] or not feed["connected"] or feed["confirmed"] is None:
        return "-"
    if feed["confirmed"] < length:
        return f"all but {number(length - feed['confirmed'])}"
    return "all" if feed["lag_seconds"] is None else f"after {duration(feed['lag_seconds'])}"


def _object(data: str | None) -> dict[str, object] | None:
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise Invalid('--data is no JSON object; give the fields that change, as {"content": "…"}')
    return value


def _line(record: ConflictRecord) -> str:
    state = f"settled: {record.resolution}" if record.resolution else "open"
    what = "one side deleted the row" if record.op == "delete" else f"differs in {', '.join(record.fields)}"
    title = textwrap.shorten(called(record.local, record.row_id), TITLE_MAX, placeholder="…")
    return f"{record.id}  {record.table}: {title}\n    {state}, {what}"


def _values(field: str, parts: dict[str, dict[str, object] | None]) -> str:
    return "\n".join(
        f"  {side:7}{json.dumps(data.get(field), ensure_ascii=False)}" for side, data in parts.items() if data
    )
