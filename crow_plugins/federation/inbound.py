"""Whether a call of another instance may run here: who it is, whether the token is good, what it may ask.

Everything is refused that is not allowed by name, and every refusal is an error of its own. HTTP is not known here,
nor how a tool runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from crow_hooks import Crow, CrowError, Decision, FederatedCall, InstanceRegistry, KnownInstance, ServiceKey
from crow_plugins import token
from crow_plugins.federation.audit import Audit
from crow_plugins.federation.errors import CallDenied, Closed, InsufficientScope, NotExposed
from crow_plugins.federation.exposure import Exposed, Exposure
from crow_plugins.federation.limits import Buckets
from crow_plugins.federation.message import CALL_TOOL, METHODS, Message, read_message
from crow_plugins.federation.remembered import RememberedExposure
from crow_plugins.federation.replay import Uses
from crow_plugins.federation.settings import Settings
from crow_plugins.federation.telling import told
from crow_plugins.identity import certificate
from crow_plugins.identity.errors import IdentityError
from crow_plugins.premises import Premises
from crow_plugins.token import Claims

log = logging.getLogger(__name__)

READ, WRITE = "read", "write"
STRANGERS_PER_MINUTE = 10  # refusals that are recorded: a stranger must not push the others out of the record
REFUSALS_PER_MINUTE = 120  # of one instance's tokens: whoever has caught one may send it again and again
SEEN_SECONDS = 60  # how exactly the last contact is kept; a write for each call would cost more than the call
Reads = Callable[[str], Awaitable[bool | None]]  # whether a tool of this name only reads; None: there is none


@dataclass(frozen=True, slots=True)
class Peer:
    """A caller whose token is signed by the instance it names; nothing else of the token is checked yet."""

    known: KnownInstance
    claims: Claims

    @property
    def id(self) -> str:
        return self.known.instance.id


@dataclass(slots=True)
class Admitted:
    """A request that may run: what was judged, and, once it ran, how it ended."""

    message: Message
    exposed: Exposed
    may_write: bool
    status: str = "unanswered"


class Inbound:
    """The judge of one gateway's inbound calls."""

    def __init__(
        self,
        crow: Crow,
        registry: InstanceRegistry,
        *,
        chain: bytes,
        uses: Uses,
        exposure: Exposure,
        remembered: RememberedExposure,
        audit: Audit,
        calls_per_minute: int,
    ) -> None:
        """`chain` is the chain's public key. Uses are remembered from now on: older tokens are refused."""
        self.crow, self.exposure, self.audit = crow, exposure, audit
        self._uses, self._remembered = uses, remembered
        self._registry, self._chain = registry, chain
        self._since = crow.now()
        self._peers = Buckets(calls_per_minute)
        self._refusals, self._strangers = Buckets(REFUSALS_PER_MINUTE), Buckets(STRANGERS_PER_MINUTE)
        self._seen: dict[str, int] = {}

    def identify(self, authorization: Sequence[bytes]) -> Peer | None:
        """Whose token it is; None where it is none of ours. From memory. Raises `InvalidToken`, `TooManyCalls`."""
        try:
            unverified = token.parts(authorization)
            if unverified is None:
                return None
            known = self._by_kid(unverified.kid)
            return Peer(known, unverified.verified(known.instance_key, known.instance.id))
        except token.TokenError:
            self._strangers.take("", self.crow.now())
            raise

    async def admit(self, peer: Peer, http_method: str, body: bytes, reads: Reads) -> Admitted:
        """Judge a whole request, and use its token up. Raises `TokenError`, `InboundError`, `BadMessage`, …"""
        now = self.crow.now()
        try:
            self._check_token(peer.claims, http_method, body, now)
            await self._uses.use(peer.claims.jti, peer.claims.expires_at, now)
        except token.TokenError:
            self._refusals.take(peer.id, now)
            raise
        await self._note_contact(peer.id, now)
        exposed = await self._remembered.of(peer.id)
        self._peers.take(peer.id, now)
        message = read_message(body) if http_method == "POST" else Message()
        if http_method == "POST" and message.method not in METHODS:
            raise Closed
        may_write = False
        if message.method == CALL_TOOL:
            may_write = _may_write(exposed, peer.claims, message.tool, await reads(message.tool))
            await self._ask_plugins(
                FederatedCall("inbound", peer.known.instance, message.tool, message.arguments or {})
            )
        return Admitted(message, exposed, may_write)

    async def close(self) -> None:
        self._remembered.close()
        await asyncio.to_thread(self._uses.close)

    def revocations_for(self, heard: str | None) -> str | None:
        """What goes along with an answer to a caller that has heard of `heard`."""
        return told(self._registry.credentials().revocations, heard)

    def _by_kid(self, kid: str) -> KnownInstance:
        for known in self._registry.others():
            if token.kid_of(known.instance_key) == kid:
                self._check_trust(known)
                return known
        raise token.InvalidToken

    def _check_trust(self, known: KnownInstance) -> None:
        instance_id = known.instance.id
        if known.revoked or instance_id == self.crow.instance.id:
            raise token.InvalidToken
        try:
            certified = _certificate(known.certificate, self._chain, self.crow.now())
        except IdentityError as error:
            raise token.InvalidToken from error
        if (certified.instance_id, certified.instance_key) != (instance_id, known.instance_key):
            raise token.InvalidToken

    def _check_token(self, claims: Claims, http_method: str, body: bytes, now: int) -> None:
        claims.check_audience(self.crow.instance.id)
        claims.check_times(now, since=self._since)
        claims.check_request(http_method, body)

    async def _note_contact(self, instance_id: str, now: int) -> None:
        if now - self._seen.get(instance_id, 0) >= SEEN_SECONDS:
            self._seen[instance_id] = now
            await asyncio.to_thread(self._registry.seen, instance_id, "online")

    async def _ask_plugins(self, call: FederatedCall) -> None:
        try:
            decisions = await self.crow.hook.gather("on_federated_call", call=call)
        except CrowError as error:
            log.warning("federated call denied tool=%s peer=%s reason=%s", call.tool, call.peer.id, error)
            raise CallDenied("") from error
        for decision in decisions:
            if not isinstance(decision, Decision) or not decision.allowed:
                raise CallDenied(decision.reason if isinstance(decision, Decision) else "")


INBOUND: ServiceKey[Inbound] = ServiceKey("federation-inbound")


def inbound_of(crow: Crow, registry: InstanceRegistry, premises: Premises, audit: Audit, settings: Settings) -> Inbound:
    """The judge of the home that `premises` is of."""
    exposure = Exposure(crow, settings.expose)
    return Inbound(
        crow,
        registry,
        chain=bytes.fromhex(premises.keyring.identity.chain),
        uses=Uses(premises.home.folder / "replay.db"),
        exposure=exposure,
        remembered=RememberedExposure(exposure, premises.home.database),
        audit=audit,
        calls_per_minute=settings.calls_per_minute,
    )


def _may_write(exposed: Exposed, claims: Claims, tool: str, reads: bool | None) -> bool:
    """Whether the call may write; raises where it may not even run."""
    if reads is None or not exposed.allows(tool) or (not reads and not exposed.allows_writing(tool)):
        raise NotExposed
    needed = READ if reads else WRITE
    if needed not in claims.scopes:
        raise InsufficientScope(needed)
    return not reads


@lru_cache(maxsize=256)
def _certificate(signed: bytes, chain: bytes, now: int) -> certificate.Certificate:
    return certificate.verify(signed, chain, now)
