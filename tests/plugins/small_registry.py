"""A plugin for tests: a registry that knows the instances it is told of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from crow_hooks import REGISTRY, Credentials, Crow, KnownInstance, NotFound, Status, hookimpl


class SmallRegistry:
    def __init__(self) -> None:
        self.known: dict[str, KnownInstance] = {}
        self.contacts: list[tuple[str, Status]] = []

    @property
    def zones(self) -> frozenset[str]:
        return frozenset({"loopback"})

    def others(self) -> Sequence[KnownInstance]:
        return list(self.known.values())

    def find(self, named: str) -> KnownInstance:
        for known in self.known.values():
            if named in (known.instance.id, known.instance.name):
                return known
        raise NotFound(f"no instance is called {named}")

    def credentials(self) -> Credentials:
        return Credentials((), ())

    def learn(self, heard: Credentials) -> frozenset[str]:
        return frozenset()

    def seen(self, instance_id: str, status: Status) -> None:
        self.contacts.append((instance_id, status))

    def revoke(self, instance_id: str, passphrase: str | None) -> None:
        self.known[instance_id] = replace(self.known[instance_id], revoked=True)


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(REGISTRY, SmallRegistry())
