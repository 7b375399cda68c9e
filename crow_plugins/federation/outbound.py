"""Calling the tools of other instances: asked of the plugins first, bounded in time, written down, and never failing
by an exception: what went wrong with a peer is an answer like another.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from typing import TYPE_CHECKING, Any

from crow_hooks import (
    CallAnswer,
    CallFailure,
    Crow,
    Data,
    Decision,
    FederatedCall,
    Instance,
    InstanceRegistry,
    KnownInstance,
    NotFound,
    Ranking,
)
from crow_plugins.callers import served
from crow_plugins.federation.audit import Audit
from crow_plugins.federation.refusal import Refusal
from crow_plugins.outbound.calling import CallError, TooLarge, system_tls
from crow_plugins.outbound.urls import ForbiddenZone, UrlError, Zone
from crow_plugins.token import BadProof

if TYPE_CHECKING:
    from crow_plugins.federation.peer import Peer

log = logging.getLogger(__name__)

CALL_SECONDS = 10.0
TEXT_MAX = 64 * 1024
NO_ADDRESS = "no address of it is known here; if it has one, register it: crow instances register URL"
BUSY = "this one was not sent, call again when there are fewer"

Outcome = CallAnswer | CallFailure


class Outbound:
    """See `crow_hooks.Federation`. On the event loop."""

    def __init__(self, crow: Crow, registry: InstanceRegistry, instance_key: bytes, chain: bytes, audit: Audit) -> None:
        self._crow, self._registry, self._audit = crow, registry, audit
        self._instance_key, self._chain = instance_key, chain
        self._peers: dict[str, Peer] = {}
        self._tls: ssl.SSLContext | None = None
        self.ranking: Ranking | None = None

    def use_ranking(self, ranking: Ranking) -> None:
        self.ranking = ranking

    async def call(
        self,
        instance_id: str,
        tool: str,
        arguments: Data,
        *,
        timeout_seconds: float = CALL_SECONDS,
        progress: Any = None,
    ) -> Outcome:
        known = self._known(instance_id)
        began = time.monotonic()
        failure = await self._refused_here(known, tool, arguments)
        if failure is None:
            outcome = await self._called(known, tool, arguments, timeout_seconds, progress)
        else:
            outcome = failure
        self._write_down(known.instance, tool, arguments, outcome, failure is None, 1000 * (time.monotonic() - began))
        return outcome

    async def list_tools(self, instance_id: str, *, timeout_seconds: float = CALL_SECONDS) -> list[Any] | CallFailure:
        """What an instance lets this one call, as MCP tools."""
        known = self._known(instance_id)
        failure = self._cannot(known)
        if failure is not None:
            return failure
        found = await self._guarded(known, lambda peer: peer.list_tools(), timeout_seconds)
        return found if isinstance(found, CallFailure) else list(found)

    async def close(self) -> None:
        peers, self._peers = list(self._peers.values()), {}
        for peer in peers:
            await peer.close()

    # ---- before anything leaves -----------------------------------------------------------------

    def _known(self, instance_id: str) -> KnownInstance:
        for known in self._registry.others():
            if known.instance.id == instance_id:
                return known
        raise NotFound("no such instance; list them with crow_list_instances")

    def _cannot(self, known: KnownInstance) -> CallFailure | None:
        if served() is not None:
            return _failure(known, "refused", "a call that another instance asked for may not go on to a third")
        if known.revoked:
            return _failure(known, "revoked", "the instance was revoked")
        if known.gateway_url is None:
            return _failure(known, "no_address", NO_ADDRESS)
        return None

    async def _refused_here(self, known: KnownInstance, tool: str, arguments: Data) -> CallFailure | None:
        failure = self._cannot(known)
        if failure is not None:
            return failure
        call = FederatedCall("outbound", known.instance, tool, arguments)
        try:
            decisions = await self._crow.hook.gather("on_federated_call", call=call)
        except Exception as error:  # a plugin that cannot decide denies
            log.warning("a plugin failed over a call, which is denied tool=%s reason=%s", tool, error)
            return _failure(known, "refused", "a plugin of this instance could not decide, so the call was not made")
        for decision in decisions:
            if not isinstance(decision, Decision) or not decision.allowed:
                reason = decision.reason if isinstance(decision, Decision) else ""
                return _failure(known, "refused", reason or "a plugin of this instance denies the call")
        return None

    # ---- the call -------------------------------------------------------------------------------

    async def _called(
        self, known: KnownInstance, tool: str, arguments: Data, timeout_seconds: float, progress: Any
    ) -> Outcome:
        began = time.monotonic()
        result = await self._guarded(known, lambda peer: peer.call_tool(tool, arguments, progress), timeout_seconds)
        milliseconds = round(1000 * (time.monotonic() - began), 1)
        if isinstance(result, CallFailure):
            return result
        text = "\n".join(getattr(part, "text", "") for part in result.content)[:TEXT_MAX]
        if result.is_error:
            return CallFailure(known.instance, "tool_error", text, milliseconds)
        return CallAnswer(known.instance, result.structured_content, text, milliseconds)

    async def _guarded(self, known: KnownInstance, use: Any, timeout_seconds: float) -> Any:
        """Whatever a peer answers, within the time, or why not. The time covers waiting for a turn too."""
        began, is_sent = time.monotonic(), False

        def failure(code: str, reason: str) -> CallFailure:
            return CallFailure(known.instance, code, reason, round(1000 * (time.monotonic() - began), 1))

        try:
            peer = await self._peer(known)
        except (UrlError, ForbiddenZone) as error:
            return failure("unreachable", str(error))
        if not peer.breaker.may_call():
            return failure("breaker_open", "it did not answer several times; it is tried again in a while")
        try:
            async with asyncio.timeout(timeout_seconds), peer.turns:
                is_sent = True
                result = await use(peer)
        except TimeoutError:
            if not is_sent:
                peer.breaker.dropped()
                return failure("busy", f"other calls to it took all of {timeout_seconds:g} seconds; {BUSY}")
            peer.breaker.timed_out(began)
            return failure("timed_out", f"it did not answer within {timeout_seconds:g} seconds")
        except asyncio.CancelledError:
            peer.breaker.dropped()
            raise
        except Refusal as refusal:
            peer.breaker.worked()
            return failure("refused", refusal.reason)
        except BadProof as error:
            peer.breaker.failed()
            return failure("not_proven", str(error))
        except TooLarge as error:  # of one that answers, and has shown who it is
            peer.breaker.worked()
            return failure("too_large", f"its answer has more than {error.bytes_max >> 20} MiB; ask for less at once")
        except (CallError, ForbiddenZone) as error:  # where a name leads is known when it is dialled only
            peer.breaker.failed()
            return failure("unreachable", str(error))
        except Exception:  # the client knows many ways to say that nothing came of it, some in the other's words
            peer.breaker.failed()
            came_of_it = failure("unreachable", "nothing answers there, or not as an instance does")
            log.info("call failed instance=%s outcome=%s", known.instance.name, came_of_it.code)
            return came_of_it
        peer.breaker.worked()
        return result

    async def _peer(self, known: KnownInstance) -> Peer:
        from crow_plugins.federation.peer import Peer  # FastMCP's client takes a while to import; commands do without

        context = await self._context(known)
        peer = self._peers.get(known.instance.id)
        if peer is not None and _place(peer.known) == _place(known):
            return peer
        zones = [Zone(zone) for zone in self._registry.zones]
        # No await between looking and keeping, or calls made at the same time would each have a peer of their own.
        self._peers[known.instance.id] = fresh = Peer(
            self._crow, self._registry, known, self._instance_key, self._chain, zones, context
        )
        if peer is not None:
            await peer.close()
        return fresh

    async def _context(self, known: KnownInstance) -> ssl.SSLContext | None:
        if not (known.gateway_url or "").startswith("https"):
            return None
        if self._tls is None:
            self._tls = await asyncio.to_thread(system_tls)
        return self._tls

    def _write_down(
        self, peer: Instance, tool: str, arguments: Data, outcome: Outcome, asked: bool, milliseconds: float
    ) -> None:
        self._audit.record(
            direction="outbound",
            peer=peer.id,
            tool=tool,
            arguments=arguments,
            decision="allowed" if asked else "denied",
            status="ok" if isinstance(outcome, CallAnswer) else outcome.code,
            milliseconds=milliseconds,
        )


def _place(known: KnownInstance) -> tuple[str | None, bytes]:
    return known.gateway_url, known.instance_key


def _failure(known: KnownInstance, code: str, reason: str) -> CallFailure:
    return CallFailure(known.instance, code, reason, 0.0)
