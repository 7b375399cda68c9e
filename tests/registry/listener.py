"""A plugin for tests: it remembers what it is told of instances."""

from __future__ import annotations

from crow_hooks import Crow, Instance, ServiceKey, Status, hookimpl

HEARD: ServiceKey[list[tuple[str, str]]] = ServiceKey("heard")


@hookimpl
def setup(crow: Crow) -> None:
    crow.provide(HEARD, [])


@hookimpl
def instance_registered(crow: Crow, instance: Instance) -> None:
    crow.service(HEARD).append((instance.name, "registered"))


@hookimpl
def instance_status_changed(crow: Crow, instance: Instance, status: Status) -> None:
    crow.service(HEARD).append((instance.name, status))
