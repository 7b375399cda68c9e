"""A chain of instances in one process. A test writes on one, settles, and looks at another.

The instances live on an event loop of a thread of their own, so that a test is plain code from top to bottom.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from anyio.from_thread import start_blocking_portal
from fastmcp import Client

from crow_plugins.testing.clock import Clock
from crow_plugins.testing.instance import Instance, make_home, open_host
from crow_plugins.testing.link import Link, Pipe

SETTLE_SECONDS = 60.0  # what a loaded machine may need; a failure, not a wait
LOOK_SECONDS = 0.01

Pair = frozenset[str]


class NotSettled(AssertionError):
    """The instances did not become equal in time; it says what is missing where."""


class Chain:
    """Use it as a context manager. Every two instances are connected, until a test parts them."""

    def __init__(self, folder: Path, manifest: str = "") -> None:
        """`manifest` is what each home says of plugins: TOML, as in the `plugin_manifest.toml` of a home."""
        self._folder, self._manifest, self._began = folder, manifest, time.time()
        self._instances: dict[str, Instance] = {}
        self._links: dict[Pair, Link] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal("asyncio"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:  # closes hosts and loop, whatever the links do
            self._portal.call(self._end)

    def add(self, name: str, manifest: str | None = None) -> Instance:
        """Another instance, connected to all there are. `manifest` says it otherwise for this one."""
        clock = Clock(self._began)
        home = make_home(self._folder, name, self._manifest if manifest is None else manifest, int(clock()))
        host = self._stack.enter_context(open_host(home, clock))
        client = Client(host.server)
        self._stack.enter_context(self._portal.wrap_async_context_manager(client))
        instance = Instance(home, host, clock, self._portal, client)
        for other in self._instances.values():
            instance.know(other)
            other.know(instance)
            self._links[_pair(instance, other)] = self._portal.call(self._new_link)
            self.connect(instance, other)
        self._instances[name] = instance
        return instance

    # ---- links ----------------------------------------------------------------------------------

    def part(self, *of: Instance) -> None:
        """Cut the links of these instances to the others, or all links. What was under way is lost."""
        for pair, link in self._links.items():
            if not of or any(each.id in pair for each in of):
                self._portal.call(link.cut)

    def connect(self, *between: Instance) -> None:
        """Connect these instances with each other, or all."""
        for one, other in itertools.combinations(between or self._instances.values(), 2):
            self._portal.call(self._keep, self._links[_pair(one, other)], one, other)

    def hold(self, one: Instance, other: Instance) -> None:
        """From now on nothing arrives between these two, while each believes that the other is there."""
        self._portal.call(self._links[_pair(one, other)].flowing.clear)

    def release(self, one: Instance, other: Instance) -> None:
        """What was held up arrives."""
        self._portal.call(self._links[_pair(one, other)].flowing.set)

    # ---- settling -------------------------------------------------------------------------------

    def settle(self, *, seconds_max: float = SETTLE_SECONDS) -> None:
        """Wait until instances that are connected, also through others, hold the same and no policy has more to say.

        Raises `NotSettled`.
        """
        until = time.monotonic() + seconds_max
        before: list[str] | None = None
        while True:
            missing = [line for group in self._groups() for line in _missing(group)]
            if not missing:
                now = self._written()
                if now == before:
                    return
                before = now
                for instance in self._instances.values():
                    instance.host.sweep_conflicts()
            elif time.monotonic() > until:
                raise NotSettled("not settled: " + "; ".join(missing))
            time.sleep(LOOK_SECONDS)

    def _groups(self) -> list[list[Instance]]:
        """Those that are connected, directly or through others."""
        left, groups = set(self._instances.values()), []
        while left:
            group, fresh = [], [left.pop()]
            while fresh:
                one = fresh.pop()
                group.append(one)
                near = {other for other in left if self._links[_pair(one, other)].wanted}
                left -= near
                fresh += near
            groups.append(group)
        return groups

    def _written(self) -> list[str]:
        """How far everything is: what a policy that has just settled something changes."""
        return [
            f"{instance.id} {status.instance.id} {status.applied}"
            for instance in self._instances.values()
            for status in instance.sync.status()
        ]

    # ---- on the event loop ----------------------------------------------------------------------

    async def _new_link(self) -> Link:
        return Link()

    async def _keep(self, link: Link, one: Instance, other: Instance) -> None:
        if not link.wanted:
            link.keep(self._connected(link, one, other))

    async def _connected(self, link: Link, one: Instance, other: Instance) -> None:
        while link.wanted:
            here, there = link.opened()
            await asyncio.gather(self._converse(one, here, dialled=True), self._converse(other, there, dialled=False))
            await asyncio.sleep(LOOK_SECONDS)

    async def _converse(self, instance: Instance, pipe: Pipe, *, dialled: bool) -> None:
        await instance.sync.converse(pipe, dialled=dialled)

    async def _end(self) -> None:
        for link in self._links.values():
            await link.cut()


def _pair(one: Instance, other: Instance) -> Pair:
    return frozenset({one.id, other.id})


def _missing(group: Iterable[Instance]) -> list[str]:
    """What instances that are connected do not hold yet of one another's feeds, in words."""
    known = [(instance, instance.feeds()) for instance in group]
    lacking = []
    for writer in {each for _, feeds in known for each in feeds}:
        longest = max(feeds[writer].held for _, feeds in known if writer in feeds)
        for instance, feeds in known:
            applied = feeds[writer].applied if writer in feeds else 0
            if applied != longest:
                lacking.append(f"{instance.name} has {applied} of {longest} entries of {writer}")
    return lacking
