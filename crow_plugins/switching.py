"""Switching plugins while a host serves: every process of a home watches the manifest files and follows them."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from crow_hooks import CrowError
from crow_plugins.files import Stamp, stamp
from crow_plugins.ticking import next_tick

if TYPE_CHECKING:
    from crow_plugins.host import Host

log = logging.getLogger(__name__)

WATCH_SECONDS = 1.0  # an operator who switches a plugin sees it happen; looking costs two calls of stat


class ManifestWatch:
    """Takes the manifest over whenever a file of it changes, from `start` to `stop`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seen: list[Stamp | None] = []  # so the first look takes over what changed since the host was made
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await next_tick(WATCH_SECONDS)
            stamps = [stamp(file) for file in self._host.manifest_files]
            if stamps != self._seen:
                self._seen = stamps
                await self._take_over()

    async def _take_over(self) -> None:
        try:
            changed = await asyncio.to_thread(self._host.reload_manifest)
        except CrowError as error:
            log.error("manifest not taken over, all stays as it was reason=%s", error)
            return
        for plugin in sorted(changed):
            await self._switch(plugin)
        if changed:
            for clients in self._host.list_changes:
                await clients.tell()

    async def _switch(self, plugin: str) -> None:
        on = self._host.is_enabled(plugin)
        log.info("plugin switched plugin=%s state=%s", plugin, "on" if on else "off")
        try:
            await (self._host.start(plugin) if on else self._host.stop(plugin))
        except CrowError as error:  # the switch itself is done
            log.error("startup failed plugin=%s reason=%s", plugin, error, exc_info=error.__cause__)
