"""Who is dialled and when: every instance with an address that is not connected, again and again, ever less often.

A connection that ended at once, whoever had opened it, counts as a try that failed: two that refuse one another do so
ever less often. One that lasted is made again at once.

One process of a home dials; which one, a lease decides. Any process may take connections in.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Callable, Sequence, Set

from crow_hooks import CrowError, InstanceRegistry, KnownInstance
from crow_plugins.lease import Lease
from crow_plugins.outbound import urls
from crow_plugins.outbound.calling import system_tls
from crow_plugins.outbound.urls import GatewayUrl, Zone
from crow_plugins.replicator.link import Link
from crow_plugins.replicator.transport import ByteStream, dial
from crow_plugins.ticking import next_tick

log = logging.getLogger(__name__)

FIRST_SECONDS, LAST_SECONDS = 0.5, 60.0  # between two tries
LASTING_SECONDS = 1.0  # a connection that ends before is no better than one that was not made
LOOK_SECONDS = 1.0


class _Turn:
    """When one instance is dialled next."""

    def __init__(self) -> None:
        self._seconds = FIRST_SECONDS
        self._woken = asyncio.Event()
        self._peer_holds = False  # a connection that it opened
        self._ended_at_once = False

    def now(self) -> None:
        """End whatever waits."""
        self._woken.set()

    def left(self, *, lasted: bool) -> None:
        """The last connection has ended. Of one that we opened, whoever dialled says it in `after`, too."""
        if lasted:
            self._seconds = FIRST_SECONDS
        if lasted or self._peer_holds:
            self._ended_at_once = not lasted
            self.now()

    async def while_connected(self) -> None:
        """While the peer's own connection lasts, and on to the next try: one that ended at once gives that time."""
        self._peer_holds, self._ended_at_once = True, False
        try:
            await self._pause(LAST_SECONDS)
        finally:
            self._peer_holds = False
        if self._ended_at_once:
            await self.after(held=False)

    async def after(self, *, held: bool | None) -> None:
        """Until the next try after one that held, or did not, or (None) was not to be made."""
        if held is not None:
            self._seconds = FIRST_SECONDS if held else min(2 * self._seconds, LAST_SECONDS)
        await self._pause(self._seconds * random.uniform(0.75, 1.25))  # noqa: S311  # spreads load, hides nothing

    async def _pause(self, seconds: float) -> None:
        self._woken.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()


class Dialler:
    """Dials from `start` to `stop`, on the event loop."""

    def __init__(
        self,
        registry: InstanceRegistry,
        lease: Lease | None,
        shut_out: Callable[[], frozenset[str]],
        connected: Callable[[], frozenset[str]],
        converse: Callable[[ByteStream], asyncio.Task[Link]],
    ) -> None:
        """`converse` holds a connection to its end; `connected` has the ids of who is connected by anybody's doing,
        `shut_out` of who is not to be dialled (database work).
        """
        self._registry, self._lease, self._shut_out = registry, lease, shut_out
        self._connected, self._converse = connected, converse
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns: dict[str, _Turn] = {}
        self._rests = False
        self._looking: asyncio.Task[None] | None = None
        self._tls: ssl.SSLContext | None = None

    def start(self) -> None:
        self._looking = asyncio.create_task(self._look())

    def rest(self) -> None:
        """Dial nobody any more; what is connected stays."""
        self._rests = True

    async def stop(self) -> None:
        tasks = [*self._tasks.values(), *([self._looking] if self._looking else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        if self._lease is not None:
            self._lease.release()

    def dial_now(self, instance_id: str | None) -> None:
        """Do not wait for the next try. On the event loop."""
        for known, turn in self._turns.items():
            if instance_id in (None, known):
                turn.now()

    def left(self, instance_id: str, seconds: float) -> None:
        """The last connection to an instance has ended, after so long. On the event loop."""
        if instance_id in self._turns:
            self._turns[instance_id].left(lasted=seconds >= LASTING_SECONDS)

    async def _look(self) -> None:
        seen: Sequence[KnownInstance] | None = None
        while True:
            others = self._registry.others() if self._lease is None or self._lease.held() else ()
            if others is not seen:  # the registry makes another list of any change
                self._dial_these({other.instance.id for other in others if _is_dialled(other)})
                seen = others
            await next_tick(LOOK_SECONDS)

    def _dial_these(self, wanted: Set[str]) -> None:
        """Begin with who is new, end with who is gone."""
        for instance_id in self._tasks.keys() - wanted:
            self._tasks.pop(instance_id).cancel()
            self._turns.pop(instance_id, None)
        for instance_id in wanted - self._tasks.keys():
            turn = self._turns[instance_id] = _Turn()
            self._tasks[instance_id] = asyncio.create_task(self._dial_always(instance_id, turn))

    async def _dial_always(self, instance_id: str, turn: _Turn) -> None:
        while True:
            if instance_id in self._connected():  # by the peer's doing; `left` is told when it leaves
                await turn.while_connected()
                continue
            try:
                held = await self._try(instance_id)
            except Exception:  # ours, a failing disk among them: this must go on
                log.exception("dialling failed, tried again instance=%s", instance_id)
                held = False
            await turn.after(held=held)

    async def _try(self, instance_id: str) -> bool | None:
        """Dial who is not connected; whether it was who it should be and stayed, None where nobody is to be dialled."""
        other = next((each for each in self._registry.others() if each.instance.id == instance_id), None)
        if other is None or instance_id in self._connected() or await self._is_shut_out(instance_id) or self._rests:
            return None
        return await self._dial(other)

    async def _is_shut_out(self, instance_id: str) -> bool:
        return instance_id in await asyncio.to_thread(self._shut_out)

    async def _dial(self, other: KnownInstance) -> bool:
        """One connection to its end; whether the peer was who it should be, and stayed."""
        assert other.gateway_url is not None
        name = other.instance.name
        try:
            url = urls.parse(other.gateway_url)
            stream = await dial(url, self._zones(), await self._context(url))
        except CrowError as error:
            log.debug("peer cannot be dialled name=%s reason=%s", name, error)
            return False
        begun = time.monotonic()
        link = await self._converse(stream)
        if link.peer is None or link.peer.id != other.instance.id:
            log.warning("another instance answers at the address of %s: %s", name, link.refused or "no introduction")
            return False
        return time.monotonic() - begun >= LASTING_SECONDS

    def _zones(self) -> frozenset[Zone]:
        return frozenset(Zone(zone) for zone in self._registry.zones)

    async def _context(self, url: GatewayUrl) -> ssl.SSLContext | None:
        if url.scheme != "https":
            return None
        if self._tls is None:
            self._tls = await asyncio.to_thread(system_tls)
        return self._tls


def _is_dialled(other: KnownInstance) -> bool:
    return other.gateway_url is not None and not other.revoked and not other.hidden
