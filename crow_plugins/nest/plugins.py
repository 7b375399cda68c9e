"""Plugins: which there are, what each is for, what they are set to, and the switch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel
from starlette.responses import Response

from crow_plugins.manifest import Plugin, import_plugin
from crow_plugins.nest.differences import shown
from crow_plugins.nest.web import ROOT, Visit, Web, redirect
from crow_plugins.premises import Premises

PAGE = f"{ROOT}/plugins"
LOOK_SECONDS, FOLLOWED_LOOKS = 0.05, 60
NEST = "nest"
CLOSES = "Switching it off closes this panel; crow plugins enable nest brings it back."


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it was taken at the start; `said` where a manifest says it, and it is not the default."""

    name: str
    value: str
    said: bool
    about: str


class Plugins:
    def __init__(self, web: Web, premises: Premises) -> None:
        self._web, self._premises = web, premises
        self._models: Mapping[str, type[BaseModel]] = dict(premises.contributions("register_settings", type))

    async def show(self, visit: Visit) -> Response:
        rows = [self._row(plugin) for plugin in self._premises.manifest.plugins]
        return self._web.shown(visit, "plugins.html", rows=rows, file=self._premises.home.manifest)

    async def switch(self, visit: Visit) -> Response:
        name, on = visit.path("name"), visit.form.get("on") == "1"
        await asyncio.to_thread(self._switch, name, on)
        if name == NEST and not on:
            return self._web.shown(visit, "off.html", sentence=CLOSES)
        await self._followed(name, on)
        return redirect(PAGE, f"{name} is {'on' if on else 'off'}")

    def _row(self, plugin: Plugin) -> dict[str, object]:
        others = self._premises.manifest.plugins
        users = [other.name for other in others if plugin.name in other.requires and other.enabled]
        needs = [f"Requires {', '.join(plugin.requires)}."] if plugin.requires else []
        needs += [f"Needed by {', '.join(users)}."] if users else []
        return {
            "name": plugin.name,
            "on": self._premises.is_enabled(plugin.name),
            "about": about(plugin),
            "needs": " ".join(needs),
            "note": CLOSES if plugin.name == NEST else "",
            "settings": self._settings(plugin),
        }

    def _settings(self, plugin: Plugin) -> list[Setting]:
        model = self._models.get(plugin.name)
        if model is None:
            return []
        values = self._premises.handle(plugin.name).settings(model).model_dump(mode="json")
        return [
            Setting(name, shown(values[name]), name in plugin.settings, field.description or "")
            for name, field in model.model_fields.items()
        ]

    async def _followed(self, name: str, on: bool) -> None:
        """The gateway follows the file within a moment; the next page should show it."""
        for _ in range(FOLLOWED_LOOKS):
            if self._premises.is_enabled(name) == on:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _switch(self, name: str, on: bool) -> None:
        from crow_plugins.overrides import switch  # what edits TOML is of no use to a gateway that starts

        switch(self._premises.home.manifest, self._premises.manifest_files, name, on=on)


def about(plugin: Plugin) -> str:
    """The first line of what it says of itself; it is loaded already, on or off."""
    said = (getattr(import_plugin(plugin), "__doc__", None) or "").strip().split("\n")[0]
    return str(said)
