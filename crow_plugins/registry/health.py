"""Looking after the other instances: each that has an address is probed now and then; three misses are `offline`.

They are probed at the same time and each within a deadline, so one that hangs delays nobody. Who is heard of all the
while, as whoever is connected is, needs a probe less often: it tells only whether calls get through as well.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from crow_hooks import Job, KnownInstance
from crow_plugins.registry.registering import Registering
from crow_plugins.registry.registry import Registry

log = logging.getLogger(__name__)

MISSES_MAX = 3
AT_ONCE = 8
ROUNDS_WHILE_HEARD = 5  # who is heard of by another way is probed once in so many


@dataclass(frozen=True, slots=True)
class Misses:
    """How often in a row an instance did not answer, with no other contact since `last_seen`."""

    count: int
    last_seen: int | None


class Health:
    """Probes everybody; remembers how often each did not answer, and whom it left out."""

    def __init__(self, registry: Registry, registering: Registering) -> None:
        self._registry, self._registering = registry, registering
        self._misses: dict[str, Misses] = {}
        self._left_out: dict[str, int] = {}  # for how many rounds, by the id of whoever was probed before

    def jobs(self, seconds: float) -> Sequence[Job]:
        return [Job("probe", self.probe_all, every_seconds=seconds, jitter_seconds=seconds / 10)]

    async def probe_all(self) -> None:
        turn = asyncio.Semaphore(AT_ONCE)

        async def probe(known: KnownInstance) -> None:
            async with turn:
                await self._probe(known)

        listed = [each for each in self._registry.others() if each.gateway_url and not each.hidden and not each.revoked]
        heard = self._registry.heard_of()
        listed = [each for each in listed if self._is_due(each.instance.id, heard)]
        for failed in await asyncio.gather(*map(probe, listed), return_exceptions=True):
            if isinstance(failed, Exception):  # ours, or a busy database: the others were probed all the same
                log.error("a probe could not be made", exc_info=failed)

    def _is_due(self, instance_id: str, heard: Collection[str]) -> bool:
        """Whoever was heard of in the meantime is left out of most rounds, but not of the first one."""
        left_out = self._left_out.get(instance_id, ROUNDS_WHILE_HEARD) + 1
        is_due = left_out >= ROUNDS_WHILE_HEARD or instance_id not in heard
        self._left_out[instance_id] = 0 if is_due else left_out
        return is_due

    async def _probe(self, known: KnownInstance) -> None:
        error = await self._registering.check(known)
        if error is None:
            self._misses.pop(known.instance.id, None)
            return
        before = self._misses.get(known.instance.id)
        again = before is not None and before.last_seen == known.last_seen  # else it was heard of in between
        misses = Misses(before.count + 1 if before and again else 1, known.last_seen)
        self._misses[known.instance.id] = misses
        if misses.count <= MISSES_MAX:  # the first of each kind, not one a minute for ever
            log.info("probe failed name=%s misses=%d reason=%s", known.instance.name, misses.count, error.code)
        if misses.count >= MISSES_MAX:
            await asyncio.to_thread(self._registry.missed, known.instance.id)
