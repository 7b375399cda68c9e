"""One search over every kind of row that plugins keep here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from crow_hooks import Invalid, SearchHit, SearchKind
from crow_plugins.manifest import nearest

if TYPE_CHECKING:
    from crow_plugins.host import Host

RANK_OFFSET = 60  # of reciprocal-rank fusion: how little the first place of one kind outweighs its second


class Hit(BaseModel):
    """One row that matched; `snippet` marks the matched words."""

    kind: str
    id: str
    title: str
    snippet: str
    updated_at: int
    origin_instance: str
    lamport_ts: int


class Hits(BaseModel):
    """What a search over all kinds found, best first."""

    items: list[Hit]
    kinds: list[str]


def search_everything(host: Host, query: str, kinds: list[str] | None, limit: int) -> Hits:
    """Search the kinds that are on; scores of different kinds are not comparable, so ranks are fused."""
    found = {
        kind.name: kind for plugin, kind in host.contributions("register_search", SearchKind) if host.is_enabled(plugin)
    }
    for name in kinds or []:
        if name not in found:
            raise Invalid(f"there is no kind {name} to search{nearest(name, found)}")
    chosen = [kind for name, kind in found.items() if kinds is None or name in kinds]
    with host.read() as db:
        ranked = [kind.find(db, query, limit) for kind in chosen]
    return Hits(items=[_hit(hit) for hit in fused(ranked)[:limit]], kinds=[kind.name for kind in chosen])


def fused(ranked: list[list[SearchHit]]) -> list[SearchHit]:
    """Reciprocal-rank fusion; ties go to the newer row, then to the smaller id."""
    scored = [(1 / (RANK_OFFSET + rank), hit) for hits in ranked for rank, hit in enumerate(hits)]
    return [hit for _, hit in sorted(scored, key=lambda pair: (-pair[0], -pair[1].updated_at, pair[1].id))]


def readable(found: Hits) -> str:
    if not found.items:
        return "Nothing found."
    return "\n".join(
        f"[{hit.kind} {hit.id} from {hit.origin_instance}] {hit.title}\n  {hit.snippet}" for hit in found.items
    )


def _hit(hit: SearchHit) -> Hit:
    return Hit(**{name: getattr(hit, name) for name in Hit.model_fields})
