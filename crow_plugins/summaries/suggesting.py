"""Which instances can answer a question, by what they last said of themselves, and why.

An instance is left out only when it is certain: it said not long ago that it keeps nothing at all. Everything
else puts one before the other and no more, for a summary has names and counts and not what is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from crow_hooks import Crow, Instance
from crow_plugins.summaries.cache import Cache, Kept
from crow_plugins.summaries.kinds import HEALTH

WORD = re.compile(r"\w{2,}")
CANNOT, UNKNOWN, KEEPS, NAMED = 0.0, 1.0, 2.0, 3.0
REASON_NAMES = 3


class Suggesting:
    """Ranks instances by what is kept of their summaries: score (0: it cannot answer) and reason, best first."""

    def __init__(self, crow: Crow, cache: Cache) -> None:
        self._crow, self._cache = crow, cache

    def __call__(self, query: str, instances: Sequence[Instance]) -> list[tuple[Instance, float, str]]:
        """See `crow_hooks.Ranking`. Database work."""
        rows, now = self._cache.rows(), self._crow.now()
        ranked = []
        for instance in instances:
            own = {kind: kept for (instance_id, kind), kept in rows.items() if instance_id == instance.id}
            ranked.append((instance, *_judged(query, own, now)))
        return sorted(ranked, key=lambda each: (-each[1], each[0].name, each[0].id))


def _judged(query: str, kept: Mapping[str, Kept], now: int) -> tuple[float, str]:
    health = kept.get(HEALTH)
    if health is not None and health.state(now) == "fresh" and _is_empty(health.value):
        return CANNOT, "it keeps nothing that could be found, as it said a few minutes ago"
    named = sorted({name for row in kept.values() for name in _names(row.value) if _match(query, name)})
    if named:
        return NAMED + len(named) / (1 + len(named)), f"it has {', '.join(named[:REASON_NAMES])}"
    if not any(row.value is not None for row in kept.values()):
        return UNKNOWN, "nothing is known of what it keeps"
    late = all(row.state(now) != "fresh" for row in kept.values())
    return KEEPS, "what it keeps was not heard lately" if late else "none of its names match, its texts may"


def _is_empty(health: Any) -> bool:
    rows = health.get("rows") if isinstance(health, dict) else None
    return isinstance(rows, dict) and bool(rows) and not any(rows.values())


def _match(query: str, name: str) -> bool:
    return not _words(query).isdisjoint(_words(name))


def _words(text: str) -> set[str]:
    return {word.rstrip("s") for word in WORD.findall(text.casefold())}


def _names(value: Any) -> Iterator[str]:
    """Names of things in a summary: keys that count something, and what is called `name` or `title`."""
    if isinstance(value, dict):
        yield from (name for name, count in value.items() if isinstance(count, int) and count > 0)
        yield from (each for key, each in value.items() if key in ("name", "title") and isinstance(each, str))
    elif isinstance(value, list):
        for each in value:
            yield from [each] if isinstance(each, str) else _names(each)
