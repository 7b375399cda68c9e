"""A registry that is told who there is: for tests of what builds on one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from crow_hooks import (
    REGISTRY,
    Credentials,
    Crow,
    Instance,
    KnownInstance,
    NotFound,
    ServiceKey,
    Status,
    Tables,
    hookimpl,
)
from crow_plugins.host import Host
from crow_plugins.identity import certificate

DIRECTORY: ServiceKey[Directory] = ServiceKey("directory")


class Directory:
    """Everybody by hand; kept in memory, but for the ids that other tables refer to."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow
        self._others: tuple[KnownInstance, ...] = ()
        self.own = b""
        self.revocations: tuple[bytes, ...] = ()
        self.learned: list[Credentials] = []
        self.contacts: list[tuple[str, str]] = []

    @property
    def zones(self) -> frozenset[str]:
        return frozenset({"loopback"})

    def others(self) -> Sequence[KnownInstance]:
        return self._others

    def find(self, named: str) -> KnownInstance:
        for other in self._others:
            if named in (other.instance.id, other.instance.name):
                return other
        raise NotFound(f"no instance {named}")

    def credentials(self) -> Credentials:
        return Credentials((self.own, *(other.certificate for other in self._others)), self.revocations)

    def learn(self, heard: Credentials) -> frozenset[str]:
        self.learned.append(heard)
        return frozenset()

    def seen(self, instance_id: str, status: Status) -> None:
        self.contacts.append((instance_id, status))

    def revoke(self, instance_id: str, passphrase: str | None) -> None:
        raise NotFound("nobody is revoked here")

    def hear(self, signed: bytes, instance_id: str) -> None:
        """Of a revocation, as if another process of the home had written it down."""
        self.revocations = (*self.revocations, signed)
        self._others = tuple(
            replace(each, revoked=each.revoked or each.instance.id == instance_id) for each in self._others
        )
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("INSERT OR REPLACE INTO crow_instances VALUES (?)", (instance_id,))

    def add(self, signed: bytes, chain: bytes, url: str | None) -> None:
        known = certificate.read(signed, chain)
        with self._crow.transaction() as transaction:
            transaction.db.execute_sql("INSERT OR IGNORE INTO crow_instances VALUES (?)", (known.instance_id,))
        others = [other for other in self._others if other.instance.id != known.instance_id]
        added = KnownInstance(
            instance=Instance(known.instance_id, known.name, known.role),
            gateway_url=url,
            instance_key=known.instance_key,
            noise_key=known.noise_key,
            feed_key=known.feed_key,
            certificate=signed,
            revoked=False,
            hidden=False,
            status="unknown",
            last_seen=None,
            created_at=int(time.time()),
        )
        self._others = (*others, added)


def introduce(host: Host, other: Host, url: str | None) -> None:
    """Tell a host of another one, and where it answers."""
    identity = host.keyring.identity
    directory = host.services.find("tests", DIRECTORY)
    directory.own = identity.certificate.encode()
    directory.add(other.keyring.identity.certificate.encode(), bytes.fromhex(identity.chain), url)


@hookimpl
def setup(crow: Crow) -> None:
    directory = Directory(crow)
    crow.provide(DIRECTORY, directory)
    crow.provide(REGISTRY, directory)


@hookimpl
def register_tables(crow: Crow) -> Tables:
    return Tables(migrations=("CREATE TABLE crow_instances (id TEXT PRIMARY KEY)",))
