"""Two instances register each other: one is told an address, and both show that they are of one chain.

What can be refused of the other is refused before it is shown anything of ours. Who was told an
address of this instance is told again when it is another one, with the next probe.
"""

from __future__ import annotations

import asyncio
import logging

from crow_hooks import Crow, CrowError, KnownInstance, Refused, Role
from crow_plugins.identity import certificate, challenge
from crow_plugins.identity.certificate import PublicCertificate
from crow_plugins.identity.challenge import Proved
from crow_plugins.outbound.urls import Zone
from crow_plugins.registry.naming import NameTaken
from crow_plugins.registry.own_address import usable, worth_saying
from crow_plugins.registry.probing import Met, Prober, RefusedThere
from crow_plugins.registry.registry import Registry
from crow_plugins.registry.settings import RegistrySettings

log = logging.getLogger(__name__)


class InstanceRevoked(Refused):
    """The instance was revoked."""

    code = "instance_revoked"

    def __init__(self) -> None:
        super().__init__("that instance was revoked; let the machine join again as a new one: crow invite")


class NeverDialled(Refused):
    """The instance has no address here."""

    code = "no_address_known"

    def __init__(self, name: str) -> None:
        super().__init__(f"no address of {name} is known here, so it dials this machine; register it by its address")


class Registering:
    """Registers other instances here, and this one there."""

    def __init__(self, crow: Crow, registry: Registry, prober: Prober) -> None:
        self._crow, self._registry, self._prober = crow, registry, prober
        self._told: dict[str, str] = {}  # by instance id, the address of ours that it was told

    async def register(self, address: str, name: str | None = None, role: Role | None = None) -> KnownInstance:
        """Register the instance at an address, under a name and with a role of ours if they are given.

        Nothing is changed here by a refusal. Raises a `UrlError`, `ForbiddenZone`, `CallError`, `NotACrowGateway`,
        `IdentityError`, `InstanceRevoked`, `NameTaken`, `BusyThere` or `RefusedThere`.
        """
        if name is not None:
            certificate.check_name(name)

        def welcome(shown: PublicCertificate) -> None:
            self._refuse(shown, name)

        said = await asyncio.to_thread(self._own_url, address)
        met = await self._prober.meet(address, self._zones, said, welcome, self._crow.now())
        return await asyncio.to_thread(self._keep, met, said, name, role)

    async def check(self, known: KnownInstance) -> CrowError | None:
        """Probe a known instance now; what is wrong, or None. Its status follows."""
        if known.gateway_url is None:
            return NeverDialled(known.instance.name)
        try:
            await self._look(known, known.gateway_url)
        except CrowError as error:
            return error
        await asyncio.to_thread(self._registry.answered, known.instance.id)
        return None

    def called(self, proved: Proved, *, same_machine: bool) -> None:
        """Another instance registered this one, and has shown who it is. Raises `InstanceRevoked`. Database work."""
        if self._registry.is_revoked(proved.certificate.instance_id):
            raise InstanceRevoked
        if self._crow.settings(RegistrySettings).register_back:
            url = usable(proved.gateway_url, same_machine=same_machine)
            self._registry.announced(proved.certificate, proved.signed, url)

    @property
    def _zones(self) -> frozenset[Zone]:
        return frozenset(Zone(zone) for zone in self._registry.zones)

    def _own_url(self, to: str) -> str | None:
        return worth_saying(self._registry.own_url(), to)

    def _refuse(self, shown: PublicCertificate, name: str | None) -> None:
        """What its public certificate is enough for."""
        if self._registry.is_revoked(shown.instance_id):
            raise InstanceRevoked
        known = next((each for each in self._registry.others() if each.instance.id == shown.instance_id), None)
        if known is not None:
            challenge.check_same(shown, self._certificate(known))
        wanted = name or (known.instance.name if known else shown.name)
        if self._registry.holder(wanted) not in (None, shown.instance_id):
            raise NameTaken(wanted)

    def _keep(self, met: Met, said: str | None, name: str | None, role: Role | None) -> KnownInstance:
        shown = met.proved.certificate
        if self._registry.is_revoked(shown.instance_id):  # heard of meanwhile
            raise InstanceRevoked
        kept = self._registry.keep(shown, met.proved.signed, met.url, name, role)
        if said is not None:
            self._told[shown.instance_id] = said
        return kept

    async def _look(self, known: KnownInstance, address: str) -> None:
        """Find out whether it is who it was; tell it our address on the way, unless it was told."""
        said = await asyncio.to_thread(self._own_url, address)
        if said is not None and self._told.get(known.instance.id) != said and self._prober.can_prove:
            try:
                await self._tell(known, address, said)
                return
            except RefusedThere:
                log.warning("our address was not accepted name=%s", known.instance.name)
        await self._prober.probe(address, self._certificate(known), self._zones, self._crow.now())

    async def _tell(self, known: KnownInstance, address: str, said: str) -> None:
        def welcome(shown: PublicCertificate) -> None:
            challenge.check_same(shown, self._certificate(known))

        self._told[known.instance.id] = said  # also when it refuses: it is not asked again and again
        try:
            await self._prober.meet(address, self._zones, said, welcome, self._crow.now())
        except RefusedThere:
            raise
        except BaseException:
            self._told.pop(known.instance.id, None)
            raise

    def _certificate(self, known: KnownInstance) -> certificate.Certificate:
        return certificate.read(known.certificate, self._registry.chain)
