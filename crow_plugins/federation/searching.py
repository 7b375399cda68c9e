"""One search over many instances: all at once, within one deadline, merged so that each row stands once.

An instance that is down costs its own line and nothing else. Ranks are fused and not scores: those of two machines
cannot be compared. What several instances hold is one row, in its newest version, with all places that hold it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from crow_hooks import CallAnswer, Crow, Instance, InstanceRegistry
from crow_plugins.federation.outbound import Outbound, Outcome

RANK_OFFSET = 60
HITS_MAX = 50  # of one instance: none can crowd the others out
MARGIN_SECONDS = 0.2
# What a failed call is in a search; other codes stand as they are. An instance whose breaker is open was not asked:
# what is known of it is from earlier.
STATUSES = {
    "breaker_open": "stale",
    "busy": "timed_out",
    "no_address": "unreachable",
    "not_proven": "unreachable",
    "revoked": "refused",
    "too_large": "unreachable",
}


class FederatedHit(BaseModel):
    """One row; `held_by` are the names of the instances that have it."""

    kind: str
    id: str
    title: str
    snippet: str
    updated_at: int
    origin_instance: str
    lamport_ts: int
    held_by: list[str] = []


class InstanceReport(BaseModel):
    """What came of asking one instance."""

    instance_id: str
    name: str
    status: str
    reason: str | None
    hits: int
    milliseconds: float


class FederatedHits(BaseModel):
    """Hits of all, best first; `complete` tells whether everybody answered who was asked or could know."""

    items: list[FederatedHit]
    instances: list[InstanceReport]
    complete: bool


class FederatedSearch:
    """Searches here and elsewhere."""

    def __init__(self, crow: Crow, registry: InstanceRegistry, outbound: Outbound, local: Any) -> None:
        """`local(query, kinds, limit)` is the search of this instance, and its structured answer."""
        self._crow, self._registry, self._outbound, self._local = crow, registry, outbound, local

    async def search(
        self, query: str, kinds: Sequence[str] | None, named: Sequence[str] | None, limit: int, timeout_seconds: float
    ) -> FederatedHits:
        asked = [self._registry.find(name).instance for name in named] if named else self._everybody()
        skipped = {} if named else await asyncio.to_thread(self._skipped, query, asked)
        arguments: dict[str, object] = {"query": query, "limit": min(limit, HITS_MAX)}
        if kinds:
            arguments["kinds"] = list(kinds)
        calls = [
            self._outbound.call(each.id, "crow_search", arguments, timeout_seconds=timeout_seconds - MARGIN_SECONDS)
            for each in asked
            if each.id not in skipped
        ]
        here, answers = await asyncio.gather(self._here(arguments), asyncio.gather(*calls))
        reports = [here[0], *(_report(answer) for answer in answers), *skipped.values()]
        found = [(here[0].name, here[1]), *((answer.instance.name, _hits(answer)) for answer in answers)]
        complete = all(report.status in ("ok", "skipped") for report in reports)
        return FederatedHits(items=merged(found)[:limit], instances=reports, complete=complete)

    def _everybody(self) -> list[Instance]:
        return [other.instance for other in self._registry.others() if not other.revoked and not other.hidden]

    def _skipped(self, query: str, asked: Sequence[Instance]) -> dict[str, InstanceReport]:
        """Those of which it is known that they have nothing to answer with."""
        if self._outbound.ranking is None:
            return {}
        ranked = self._outbound.ranking(query, asked)
        return {
            instance.id: InstanceReport(
                instance_id=instance.id, name=instance.name, status="skipped", reason=reason, hits=0, milliseconds=0.0
            )
            for instance, score, reason in ranked
            if score <= 0
        }

    async def _here(self, arguments: dict[str, object]) -> tuple[InstanceReport, list[FederatedHit]]:
        began = time.monotonic()
        structured = await self._local(arguments)
        hits = _parsed(structured)
        own = self._crow.instance
        spent = round(1000 * (time.monotonic() - began), 1)
        report = InstanceReport(
            instance_id=own.id, name=own.name, status="ok", reason=None, hits=len(hits), milliseconds=spent
        )
        return report, hits


def merged(found: Sequence[tuple[str, Sequence[FederatedHit]]]) -> list[FederatedHit]:
    """By reciprocal-rank fusion; ties go to the newer row, then to the smaller id.

    A row that many hold counts once, by its best rank: copies are no votes.
    """
    scores: dict[tuple[str, str], float] = {}
    newest: dict[tuple[str, str], FederatedHit] = {}
    holders: dict[tuple[str, str], list[str]] = {}
    for name, hits in found:
        for rank, hit in enumerate(hits):
            row = hit.kind, hit.id
            scores[row] = max(scores.get(row, 0.0), 1 / (RANK_OFFSET + rank))
            holders.setdefault(row, []).append(name)
            if row not in newest or newest[row].lamport_ts < hit.lamport_ts:
                newest[row] = hit
    order = sorted(scores, key=lambda row: (-scores[row], -newest[row].updated_at, row))
    return [newest[row].model_copy(update={"held_by": holders[row]}) for row in order]


def _hits(outcome: Outcome) -> list[FederatedHit]:
    return _parsed(outcome.structured) if isinstance(outcome, CallAnswer) else []


def _parsed(structured: Any) -> list[FederatedHit]:
    """What fits; an instance of another release may say more, or less."""
    items = structured.get("items") if isinstance(structured, dict) else None
    found = []
    for item in items[:HITS_MAX] if isinstance(items, list) else []:
        try:
            found.append(FederatedHit.model_validate(item))
        except ValidationError:
            continue
    return found


def _report(outcome: Outcome) -> InstanceReport:
    instance = outcome.instance
    if isinstance(outcome, CallAnswer):
        hits = len(_hits(outcome))
        return InstanceReport(
            instance_id=instance.id,
            name=instance.name,
            status="ok",
            reason=None,
            hits=hits,
            milliseconds=outcome.milliseconds,
        )
    return InstanceReport(
        instance_id=instance.id,
        name=instance.name,
        status=STATUSES.get(outcome.code, outcome.code),
        reason=outcome.reason,
        hits=0,
        milliseconds=outcome.milliseconds,
    )
