"""Plugins' scheduled work, in one process of a home at a time.

The gateway and any number of stdio servers may run beside each other; a lock that the kernel takes
back from a process that ends decides which of them runs the jobs. A job of a plugin that is off is
passed over, one that raises is logged and runs again at its next time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from crow_hooks import Job
from crow_plugins.lease import Lease

if TYPE_CHECKING:
    from crow_plugins.host import Host

log = logging.getLogger(__name__)


class Jobs:
    """The jobs of one host, from `start` to `stop`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lease = Lease(host.home.folder / "jobs.lock")
        # However late, as after a machine slept, a job runs once and is not passed over until its next time.
        always = {"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
        self._scheduler = AsyncIOScheduler(timezone="UTC", job_defaults=always)

    def start(self) -> None:
        """Schedule every job; call it on the event loop."""
        for plugin, job in self._host.contributions("register_jobs", Job):
            self._scheduler.add_job(
                self.run,
                "interval",
                (plugin, job),
                seconds=job.every_seconds,
                jitter=job.jitter_seconds or None,
                id=f"{plugin}.{job.name}",
            )
        self._scheduler.start()

    async def stop(self) -> None:
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
            await asyncio.sleep(0)  # the shutdown is carried out by the loop's next turn
        self._lease.release()

    async def run(self, plugin: str, job: Job) -> None:
        """Run a job now, unless its plugin is off or another process runs the jobs of this home."""
        if not self._host.is_enabled(plugin) or not self._lease.held():
            return
        try:
            await job.run()
        except Exception:  # other people's code; its next time comes
            log.exception("job failed plugin=%s job=%s", plugin, job.name)
