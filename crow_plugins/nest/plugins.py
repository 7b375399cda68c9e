"""Plugins: which there are, what they are set to, and the switch."""

from __future__ import annotations

import asyncio

from starlette.responses import Response

from crow_plugins.nest.web import ROOT, Visit, Web, redirect
from crow_plugins.overrides import switch
from crow_plugins.premises import Premises

PAGE = f"{ROOT}/plugins"
LOOK_SECONDS, FOLLOWED_LOOKS = 0.05, 60


class Plugins:
    def __init__(self, web: Web, premises: Premises) -> None:
        self._web, self._premises = web, premises

    async def show(self, visit: Visit) -> Response:
        plugins = self._premises.manifest.plugins
        rows = [
            {
                "name": plugin.name,
                "on": self._premises.is_enabled(plugin.name),
                "requires": plugin.requires,
                "settings": {name: repr(value) for name, value in sorted(plugin.settings.items())},
                "needed_by": [other.name for other in plugins if plugin.name in other.requires and other.enabled],
            }
            for plugin in plugins
        ]
        return self._web.shown(visit, "plugins.html", rows=rows)

    async def switch(self, visit: Visit) -> Response:
        name, on = visit.path("name"), visit.form.get("on") == "1"
        await asyncio.to_thread(self._switch, name, on)
        await self._followed(name, on)
        return redirect(PAGE, f"{name} is {'on' if on else 'off'}")

    async def _followed(self, name: str, on: bool) -> None:
        """The gateway follows the file within a moment; the next page should show it."""
        for _ in range(FOLLOWED_LOOKS):
            if self._premises.is_enabled(name) == on:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _switch(self, name: str, on: bool) -> None:
        switch(self._premises.home.manifest, self._premises.manifest_files, name, on=on)
