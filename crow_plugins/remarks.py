"""Whether everything is in sync, in a few sentences: what a person came to see, each with where it says more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from crow_plugins.wording import duration, number, plural

NAMES_MAX = 5


@dataclass(frozen=True, slots=True)
class Remark:
    """One sentence on how things are; `about` names the page of the Nest, and `crow` has a command for each."""

    tone: Literal["good", "warn", "bad"]
    text: str
    about: Literal["conflicts", "sync"] | None = None


def of_instances(rows: Sequence[Mapping[str, Any]], status: Mapping[str, Any]) -> list[Remark]:
    """`rows` are the registry's, `status` is what the sync tool answers; empty where that plugin is off."""
    others = [row for row in rows if not row["own"] and not row["revoked"]]
    # Who never meets this machine is heard through another one.
    heard = {feed["name"] for feed in status.get("feeds", []) if feed.get("applied")}
    found = [*of_sync(status), *of_conflicts(status.get("open_conflicts", 0)), *_away(others, heard)]
    if found:
        return found
    if not others:
        return [Remark("good", "Everything is on this machine, the only one so far")]
    return [Remark("good", "Everything is in sync" if status else "Every machine answers")]


def of_sync(status: Mapping[str, Any]) -> list[Remark]:
    """What is not well with the feeds; empty when all is."""
    feeds = status.get("feeds", [])
    suspect = status.get("suspect")
    found = [Remark("bad", f"This machine does not append to its feed now: {suspect}")] if suspect else []
    if failing := status.get("failing"):
        found.append(Remark("bad", f"Nothing can be taken in: {failing}", "sync"))
    behind = [feed for feed in feeds if feed["behind"]]
    found += [Remark("warn", _still_to_come(feed), "sync") for feed in behind[:NAMES_MAX]]
    if len(behind) > NAMES_MAX:
        found.append(Remark("warn", f"{number(len(behind) - NAMES_MAX)} more feeds are behind", "sync"))
    if frozen := _names(feed["name"] for feed in feeds if feed["frozen"]):
        found.append(Remark("bad", f"The feed of {frozen} is frozen: it has two histories", "sync"))
    parked, refused = (sum(feed[what] for feed in feeds) for what in ("parked", "rejected"))
    if parked:
        found.append(Remark("warn", f"{plural(parked, 'entry waits', 'entries wait')} to be applied", "sync"))
    if refused:
        found.append(Remark("bad", f"{plural(refused, 'entry was', 'entries were')} refused", "sync"))
    return found


def _still_to_come(feed: Mapping[str, Any]) -> str:
    said = f"{plural(feed['behind'], 'entry', 'entries')} of {feed['name']} still to come"
    rate, left = feed.get("rate"), feed.get("seconds_left")
    return f"{said}: {number(round(rate))} a second, about {duration(left)} left" if rate and left is not None else said


def of_conflicts(count: int) -> list[Remark]:
    if not count:
        return []
    return [Remark("warn", f"{plural(count, 'conflict waits', 'conflicts wait')} for you", "conflicts")]


def _away(others: Sequence[Mapping[str, Any]], heard: Collection[str]) -> list[Remark]:
    found = []
    if offline := _names(row["name"] for row in others if row["status"] == "offline"):
        found.append(Remark("warn", f"No answer from {offline}"))
    unknown = (row["name"] for row in others if row["status"] == "unknown")
    if never := _names(name for name in unknown if name not in heard):
        found.append(Remark("warn", f"Not heard from yet: {never}"))
    return found


def _names(names: Iterable[str]) -> str:
    """The first few, and how many more."""
    listed = list(names)
    more = len(listed) - NAMES_MAX
    return ", ".join(listed[:NAMES_MAX]) + (f" and {number(more)} more" if more > 0 else "")
