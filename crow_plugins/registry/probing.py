"""The signed challenge over HTTP: one machine finds out who another one is, and shows who it is itself.

    POST /.well-known/crow          the hello; answered by who the callee is, which anybody may see
    POST /.well-known/crow/proof    the caller's proof, for one that has shown who it is; answered by the callee's own

What the messages say and hide is `crow_plugins.identity.challenge`'s; here they are sent and answered. An address
is called by the rules for every other machine, within seconds, and its answers are bounded.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from crow_hooks import CrowError
from crow_plugins.identity import challenge
from crow_plugins.identity.certificate import Certificate, PublicCertificate
from crow_plugins.identity.challenge import Exchange, Hello, Proved
from crow_plugins.identity.errors import ProbeOfItself
from crow_plugins.keyring import Keyring
from crow_plugins.outbound import urls
from crow_plugins.outbound.calling import BadStatus, Bounds, CallError, RemoteGateway, system_tls
from crow_plugins.outbound.urls import Zone

PATH = urls.CHALLENGE_PATH
PROOF_PATH = f"{PATH}/proof"
SECONDS = 8.0
ANSWER_BYTES = 16 * 1024
NOT_NOW = frozenset({429, 503})

Welcome = Callable[[PublicCertificate], None]


class NotACrowGateway(CrowError):
    """Something answers there that is no instance."""

    code = "not_a_crow_gateway"

    def __init__(self) -> None:
        super().__init__("what answers there is no Crow gateway; give the address that crow serve prints there")


class RefusedThere(CrowError):
    """The other instance does not register this one."""

    code = "refused_there"

    def __init__(self) -> None:
        super().__init__(
            "the other instance did not accept this one; see crow logs there: it may be revoked here or there, or its "
            "clock be wrong"
        )


class BusyThere(CrowError):
    """The other gateway is a Crow gateway, and cannot answer now."""

    code = "busy_there"

    def __init__(self) -> None:
        super().__init__(
            "the other gateway cannot show who it is now: its keys are sealed, or too many ask; see crow status there, "
            "then try again"
        )


@dataclass(frozen=True, slots=True)
class Met:
    """An instance that has shown who it is, at a canonical address."""

    proved: Proved
    url: str


class Prober:
    """Calls other instances, for one that has its keys open."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._tls: ssl.SSLContext | None = None

    @property
    def _chain(self) -> bytes:
        return bytes.fromhex(self._keyring.identity.chain)

    @property
    def can_prove(self) -> bool:
        """Whether the keys are open, without which this instance cannot show who it is."""
        return not self._keyring.locked

    async def meet(self, address: str, zones: frozenset[Zone], own_url: str | None, welcome: Welcome, now: int) -> Met:
        """Both sides show who they are, the other one first; `welcome` (in a thread) looks at who it is before we do.

        Raises what `welcome` does, a `UrlError`, `ForbiddenZone`, `CallError`, `NotACrowGateway`, `BusyThere`,
        `RefusedThere` or an `IdentityError`.
        """
        url = urls.parse(address)
        key = self._keyring.device.instance
        bounds = Bounds(total_seconds=SECONDS, answer_bytes=ANSWER_BYTES)
        async with RemoteGateway(url, zones, bounds, tls=await self._context(url.scheme)) as gateway:
            await self._check_health(gateway)
            exchange = await self._exchange(gateway, now)
            await asyncio.to_thread(welcome, exchange.callee)
            proof = challenge.prove(
                exchange,
                "caller",
                self._keyring.identity.certificate.encode(),
                key,
                exchange.callee.instance_key,
                gateway_url=own_url,
                ephemeral=secrets.token_bytes(32),
            )
            try:
                answer = await gateway.call(PROOF_PATH, proof)
            except BadStatus as error:
                raise BusyThere if error.status in NOT_NOW else RefusedThere from error
            return Met(challenge.verify_proof(answer.content, exchange, "callee", key, self._chain, now), url.text)

    async def probe(self, address: str, known: Certificate, zones: frozenset[Zone], now: int) -> None:
        """Look whether it is who it was. Raises as `meet`."""
        url = urls.parse(address)
        bounds = Bounds(total_seconds=SECONDS, answer_bytes=ANSWER_BYTES)
        async with RemoteGateway(url, zones, bounds, tls=await self._context(url.scheme)) as gateway:
            exchange = await self._exchange(gateway, now)
        challenge.check_same(exchange.callee, known)

    async def _check_health(self, gateway: RemoteGateway) -> None:
        """A plain look first, so that a wrong address is told from a wrong chain."""
        try:
            health = (await gateway.call("/health")).json()
        except BadStatus as error:
            raise NotACrowGateway from error
        except CallError as error:
            if error.code in ("not_json", "answer_broken"):
                raise NotACrowGateway from error
            raise
        if not isinstance(health, dict) or health.get("status") != "ok" or "instance_id" not in health:
            raise NotACrowGateway
        if health["instance_id"] == self._keyring.identity.instance_id:
            raise ProbeOfItself

    async def _exchange(self, gateway: RemoteGateway, now: int) -> Exchange:
        sent = Hello(self._keyring.identity.instance_id, secrets.token_bytes(challenge.CHALLENGE_BYTES))
        try:
            answer = await gateway.call(PATH, challenge.hello(sent.instance_id, sent.challenge))
        except BadStatus as error:
            raise BusyThere if error.status in NOT_NOW else NotACrowGateway from error
        return challenge.verify_answer(answer.content, sent, self._chain, now)

    async def _context(self, scheme: str) -> ssl.SSLContext | None:
        if scheme == "https" and self._tls is None:
            self._tls = await asyncio.to_thread(system_tls)
        return self._tls
