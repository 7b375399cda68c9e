"""The handle that a plugin gets: its own settings, everybody's database, services and hooks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from crow_hooks import CrowError, Hooks, Instance, NotFound, ServiceKey, Transaction
from crow_plugins.manifest import ManifestError, Plugin, nearest
from crow_plugins.premises import OURS, PREMISES

if TYPE_CHECKING:
    from peewee import Database

Service = TypeVar("Service")
Settings = TypeVar("Settings", bound=BaseModel)


class ServiceTaken(CrowError):
    """Two plugins provide the same service."""

    code = "service_taken"

    def __init__(self, name: str, first: str, second: str) -> None:
        # Switching one off would not do: what is off is loaded as well.
        super().__init__(
            f"plugins {first} and {second} both provide {name}; take {second} out of the manifest, "
            f"or give its module to {first} there"
        )


class NotOffered(CrowError):
    """A plugin looks up what only built-in plugins may use."""

    code = "not_offered"

    def __init__(self, plugin: str, name: str) -> None:
        super().__init__(f"plugin {plugin} may not use the service {name}; its handle has what plugins may use")


class Services:
    """Who provides what, in one host."""

    def __init__(self) -> None:
        self._provided: dict[object, tuple[str, object]] = {}

    def provide(self, plugin: str, key: ServiceKey[Service], service: Service) -> None:
        if key in self._provided:
            raise ServiceTaken(key.name, self._provided[key][0], plugin)
        self._provided[key] = (plugin, service)

    def offered(self, key: ServiceKey[Service], enabled: Callable[[str], bool]) -> Service | None:
        """A service, if a plugin that is on provides it."""
        plugin, service = self._provided.get(key, ("", None))
        return service if service is not None and enabled(plugin) else None  # type: ignore[return-value]

    def find(self, plugin: str, key: ServiceKey[Service]) -> Service:
        if key not in self._provided:
            raise NotFound(
                f"plugin {plugin} needs the service {key.name}; name the plugin that provides it in requires"
            )
        return self._provided[key][1]  # type: ignore[return-value]  # `provide` took it under the same key


class House(Protocol):
    """What the handle asks of its host."""

    instance: Instance
    services: Services

    @property
    def hook(self) -> Hooks: ...
    def transaction(self) -> AbstractContextManager[Transaction]: ...
    def read(self) -> AbstractContextManager[Database]: ...
    def notify(self, name: str, **arguments: object) -> None: ...
    def now(self) -> int: ...
    def sign(self, purpose: str, payload: bytes) -> bytes: ...


class Handle:
    """One plugin's `crow`; see `crow_hooks.Crow`."""

    def __init__(self, house: House, plugin: Plugin) -> None:
        self._house, self._plugin = house, plugin

    @property
    def instance(self) -> Instance:
        return self._house.instance

    @property
    def hook(self) -> Hooks:
        return self._house.hook

    def transaction(self) -> AbstractContextManager[Transaction]:
        return self._house.transaction()

    def read(self) -> AbstractContextManager[Database]:
        return self._house.read()

    def settings(self, model: type[Settings]) -> Settings:
        return validated(model, self._plugin)

    def notify(self, name: str, **arguments: object) -> None:
        self._house.notify(name, **arguments)

    def now(self) -> int:
        return self._house.now()

    def provide(self, key: ServiceKey[Service], service: Service) -> None:
        self._house.services.provide(self._plugin.name, key, service)

    def service(self, key: ServiceKey[Service]) -> Service:
        if key is PREMISES and not self._plugin.module.startswith(OURS):
            raise NotOffered(self._plugin.name, key.name)
        return self._house.services.find(self._plugin.name, key)

    def sign(self, purpose: str, payload: bytes) -> bytes:
        return self._house.sign(purpose, payload)


def validated(model: type[Settings], plugin: Plugin) -> Settings:
    """The plugin's settings as its model; raises `ManifestError` naming the key."""
    refuse_unknown_settings(plugin, model.model_fields)
    try:
        return model.model_validate(dict(plugin.settings))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        sentence = f"plugin {plugin.name}: setting {key}: {first['msg']}"
        raise ManifestError(plugin.at(f"settings.{key}"), sentence) from error


def refuse_unknown_settings(plugin: Plugin, known: Collection[str]) -> None:
    for key in plugin.settings:
        if key not in known:
            sentence = f"plugin {plugin.name}: unknown setting {key}{nearest(key, known)}"
            raise ManifestError(plugin.at(f"settings.{key}"), sentence)
