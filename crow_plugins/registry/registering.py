"""Two instances register each other: one is told an address, and both show that they are of one chain."""

from __future__ import annotations

import asyncio
import logging

from crow_hooks import Crow, CrowError, KnownInstance, Refused, Role
from crow_plugins.identity.challenge import Proved
from crow_plugins.outbound import urls
from crow_plugins.outbound.urls import UrlError, Zone
from crow_plugins.registry.naming import NameTaken
from crow_plugins.registry.probing import Prober
from crow_plugins.registry.registry import Registry
from crow_plugins.registry.settings import RegistrySettings

log = logging.getLogger(__name__)


class InstanceRevoked(Refused):
    """The instance was revoked."""

    code = "instance_revoked"

    def __init__(self) -> None:
        super().__init__("that instance was revoked; let the machine join again as a new one: crow invite")


class Registering:
    """Registers other instances here, and this one there."""

    def __init__(self, crow: Crow, registry: Registry, prober: Prober) -> None:
        self._crow, self._registry, self._prober = crow, registry, prober

    async def register(self, address: str, name: str | None = None, role: Role | None = None) -> KnownInstance:
        """Register the instance at an address. Nothing is changed by a refusal.

        Raises a `UrlError`, `ForbiddenZone`, `CallError`, `NotACrowGateway`, `IdentityError`, `InstanceRevoked`,
        `NameTaken` or `RefusedThere`.
        """
        zones = frozenset(Zone(zone) for zone in self._registry.zones)
        own_url = await asyncio.to_thread(self._registry.own_url)
        met = await self._prober.meet(address, zones, own_url, self._crow.now())
        return await asyncio.to_thread(self._keep, met.proved, met.url, name, role)

    async def check(self, known: KnownInstance) -> CrowError | None:
        """Probe a known instance now; what is wrong, or None. Its status follows."""
        if known.gateway_url is None:
            return NeverDialled(known.instance.name)
        try:
            await self._prober.probe(known, frozenset(Zone(zone) for zone in self._registry.zones))
        except CrowError as error:
            return error
        await asyncio.to_thread(self._registry.seen, known.instance.id, "online")
        return None

    def called(self, proved: Proved, *, from_loopback: bool) -> None:
        """Another instance registered this one, and has shown who it is. Raises `InstanceRevoked`. Database work."""
        self._refuse_revoked(proved)
        if self._crow.settings(RegistrySettings).register_back:
            url = _usable(proved.gateway_url, from_loopback=from_loopback)
            try:
                self._registry.keep(proved.certificate, proved.signed, url, None)
            except NameTaken:
                log.warning("registered under another name, since it is taken name=%s", proved.certificate.name)
                self._registry.keep(proved.certificate, proved.signed, url, _other_name(proved))

    def _keep(self, proved: Proved, url: str, name: str | None, role: Role | None) -> KnownInstance:
        self._refuse_revoked(proved)
        return self._registry.keep(proved.certificate, proved.signed, url, name, role)

    def _refuse_revoked(self, proved: Proved) -> None:
        revoked = proved.certificate.instance_id
        if any(other.revoked and other.instance.id == revoked for other in self._registry.others()):
            raise InstanceRevoked


class NeverDialled(Refused):
    """The instance has no address here."""

    code = "no_address_known"

    def __init__(self, name: str) -> None:
        super().__init__(f"no address of {name} is known here, so it dials this machine; register it by its address")


def _usable(url: str | None, *, from_loopback: bool) -> str | None:
    """An announced address in its one spelling; a loopback one means something only on the same machine."""
    if url is None:
        return None
    try:
        parsed = urls.parse(url)
    except UrlError:
        return None
    address = parsed.address
    is_loopback = parsed.host == "localhost" or (address is not None and address.is_loopback)
    return parsed.text if from_loopback or not is_loopback else None


def _other_name(proved: Proved) -> str:
    return f"{proved.certificate.name} ({proved.certificate.instance_id[:4]})"
