"""Summaries that are given by hand: what the Nest shows of others must not hang on how it was fetched."""

from __future__ import annotations

from collections.abc import Sequence

from crow_hooks import REGISTRY, SUMMARIES, CachedSummary, Crow, hookimpl


class Given:
    """Says the same of every instance that is known."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow
        self.said: dict[str, object] = {
            "memory_categories": {"garden": 1200, "<b>work</b>": 34},
            "projects": [{"id": "1", "name": "<img src=x onerror=\"document.title='run'\">"}],
            "health": [["odd"], 1],
        }

    def cached(self, instance_id: str | None = None, kinds: Sequence[str] = ()) -> list[CachedSummary]:
        now = self._crow.now()
        return [
            CachedSummary(other.instance, kind, value, now - 100, now + 100, kind == "health", "<i>late</i>")
            for other in self._crow.service(REGISTRY).others()
            for kind, value in self.said.items()
            if instance_id in (None, other.instance.id) and (not kinds or kind in kinds)
        ]

    async def refresh(self, instance_id: str | None = None) -> list[CachedSummary]:
        return []


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(SUMMARIES, Given(crow))
