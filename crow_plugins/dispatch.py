"""Calling hooks: pluggy keeps and checks the implementations, this file calls them.

pluggy calls the last registered first, stops a call at its first exception, and knows nothing of async.
Crow wants the order of dependencies, a handle for each plugin, plugins that can be off, and
after-commit notifications that cannot harm one another. So the implementations are taken from
pluggy and called here.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pluggy

from crow_hooks import Crow, CrowError, specs
from crow_hooks.markers import PROJECT

log = logging.getLogger(__name__)

SECONDS_MAX = 30.0  # a plugin that hangs must not keep the house from opening or closing
STUCK_MAX = 4  # threads that one plugin may keep; nobody can stop a thread

Call = tuple[str, Callable[..., Any], tuple[str, ...]]  # plugin, implementation, the parameters it takes


class BadPlugin(CrowError):
    """A plugin does not fit the contract."""

    code = "bad_plugin"

    def __init__(self, plugin: str, reason: object) -> None:
        super().__init__(f"plugin {plugin} does not fit the contract: {reason}; see docs/hooks.md")


def plugin_manager() -> pluggy.PluginManager:
    """A manager of its own for each host: two hosts in one process share nothing."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(specs)
    return manager


class Dispatch:
    """Calls the hooks of the plugins that are on, each with its own handle."""

    def __init__(
        self, manager: pluggy.PluginManager, enabled: Callable[[str], bool], *, seconds: float = SECONDS_MAX
    ) -> None:
        """`seconds`: how long a hook that is awaited may take."""
        self._manager, self._enabled, self._seconds = manager, enabled, seconds
        self._handles: dict[str, Crow] = {}
        self._calls: dict[str, list[Call]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_threads: Counter[str] = Counter()

    def register(self, name: str, plugin: object, crow: Crow) -> None:
        """Add a plugin; raises `BadPlugin` for what the contract does not know."""
        try:
            self._manager.register(plugin, name)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise BadPlugin(name, _one_line(error)) from error
        except ValueError as error:  # names were told apart before, so it is the object
            raise BadPlugin(name, "its module is that of another plugin already") from error
        self._handles[name] = crow
        self._calls.clear()
        for call in self._implementations("setup", only=name, even_off=True):
            with blamed(name, "setup"):
                self._run(call, {})

    def handle(self, plugin: str) -> Crow:
        return self._handles[plugin]

    def plugins(self, hook: str) -> list[str]:
        """The plugins that implement a hook, in dependency order."""
        return [plugin for plugin, _, _ in self._implementations(hook)]

    def collect(self, name: str, **arguments: object) -> list[object]:
        results = [self._run(call, arguments) for call in self._implementations(name)]
        return [result for result in results if result is not None]

    def contributions(self, name: str) -> list[tuple[str, object]]:
        """What each plugin answers to a `register_*` hook, on or off, with the plugin's name."""
        found = []
        for call in self._implementations(name, even_off=True):
            with blamed(call[0], name):
                found.append((call[0], self._run(call, {})))
        return [(plugin, result) for plugin, result in found if result is not None]

    def ask(self, plugin: str, name: str, **arguments: object) -> object | None:
        """One plugin's answer, None if it has none or is off."""
        for call in self._implementations(name, only=plugin):
            answer: object = self._run(call, arguments)
            return answer
        return None

    def first(self, name: str, **arguments: object) -> object | None:
        for call in reversed(self._implementations(name)):
            result: object = self._run(call, arguments)
            if result is not None:
                return result
        return None

    async def gather(self, name: str, **arguments: object) -> list[object]:
        """The answers of all: an `async def` on the event loop, a plain function in a worker thread, all bounded.

        Raises `BadPlugin` when one raises or does not come back.
        """
        results = [await self._bounded(call, name, arguments) for call in self._implementations(name)]
        return [result for result in results if result is not None]

    async def _bounded(self, call: Call, name: str, arguments: Mapping[str, object]) -> object:
        plugin, function, _ = call
        if inspect.iscoroutinefunction(function):
            return await self._awaited(call, name, arguments)
        if self._in_threads[plugin] >= STUCK_MAX:
            raise BadPlugin(plugin, f"{name} has not come back from its last {STUCK_MAX} calls")
        with blamed(plugin, name):
            async with asyncio.timeout(self._seconds):
                result: object = await asyncio.to_thread(self._counted, call, arguments)
                return await result if inspect.isawaitable(result) else result

    def _counted(self, call: Call, arguments: Mapping[str, object]) -> object:
        self._in_threads[call[0]] += 1
        try:
            result: object = self._run(call, arguments)
            return result
        finally:
            self._in_threads[call[0]] -= 1

    async def start(self, plugin: str) -> None:
        """Run one plugin's `startup`. Raises `BadPlugin` when it raises or does not come to an end."""
        for call in self._implementations("startup", only=plugin):
            await self._awaited(call, "startup", {})

    async def stop(self, plugin: str) -> None:
        """Run one plugin's `shutdown`, on or off; a failure is logged and keeps nothing else from stopping."""
        for call in self._implementations("shutdown", only=plugin, even_off=True):
            try:
                await self._awaited(call, "shutdown", {})
            except CrowError as error:
                log.error("shutdown failed plugin=%s reason=%s", plugin, error, exc_info=error.__cause__)

    async def _awaited(self, call: Call, name: str, arguments: Mapping[str, object]) -> object:
        with blamed(call[0], name):
            async with asyncio.timeout(self._seconds):
                result: object = self._run(call, arguments)
                return await result if inspect.isawaitable(result) else result

    def serve_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """Where notifications that are async run; without a loop they run to their end where they are told."""
        self._loop = loop

    def notify(self, name: str, **arguments: object) -> None:
        """Call every implementation after the fact; a failure is logged and goes no further."""
        for call in self._implementations(name):
            try:
                result = self._run(call, arguments)
                if inspect.isawaitable(result):
                    self._finish(self._isolated(call[0], name, result))
            except Exception:  # other people's code, after the fact: nobody could act on it
                log.exception("notification failed plugin=%s hook=%s", call[0], name)

    async def _isolated(self, plugin: str, name: str, work: Any) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await work
        except Exception:  # other people's code, after the fact: nobody could act on it
            log.exception("notification failed plugin=%s hook=%s", plugin, name)

    def _finish(self, work: Any) -> None:
        if self._loop is None:
            asyncio.run(work)
        else:
            self._loop.call_soon_threadsafe(self._spawn, work)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait for the notifications under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    def _implementations(self, name: str, *, only: str | None = None, even_off: bool = False) -> list[Call]:
        if name not in self._calls:
            self._calls[name] = list(_calls(self._manager, name))
        return [call for call in self._calls[name] if only in (None, call[0]) and (even_off or self._enabled(call[0]))]

    def _run(self, call: Call, arguments: Mapping[str, object]) -> Any:
        plugin, function, parameters = call
        known = {"crow": self._handles[plugin], **arguments}
        return function(**{name: known[name] for name in parameters})


def _calls(manager: pluggy.PluginManager, name: str) -> Iterator[Call]:
    for implementation in getattr(manager.hook, name).get_hookimpls():
        if implementation.hookwrapper or implementation.wrapper:
            raise BadPlugin(implementation.plugin_name, f"{name} is a hook wrapper, which Crow does not call")
        yield implementation.plugin_name, implementation.function, tuple(implementation.argnames)


@contextmanager
def blamed(plugin: str, name: str) -> Iterator[None]:
    """Name the plugin whose hook failed; errors that are sentences already pass."""
    try:
        yield
    except CrowError:
        raise
    except TimeoutError as error:
        raise BadPlugin(plugin, f"{name} took too long") from error
    except Exception as error:  # other people's code
        raise BadPlugin(plugin, f"{name} raised {type(error).__name__}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
