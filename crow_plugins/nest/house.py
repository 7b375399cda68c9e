"""The tools of this installation, called as its operator: a page changes things by the same checks as a tool does."""

from __future__ import annotations

from typing import Any

from fastmcp.exceptions import FastMCPError

from crow_hooks import REGISTRY, Crow, CrowError, Summary
from crow_plugins.premises import Premises

COUNTED = ("memory_categories", "projects")  # the kinds of summaries that say how much an instance keeps


class Failed(CrowError):
    """A tool said no."""

    code = "tool_failed"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence.split(": ", 1)[-1] if ": " in sentence[:40] else sentence)


class PluginOff(CrowError):
    """What a page shows belongs to a plugin that is off."""

    code = "plugin_off"

    def __init__(self, plugin: str) -> None:
        super().__init__(f"the plugin {plugin} is off on this machine; switch it on under Plugins to see this")


class House:
    """Calls tools in this process."""

    def __init__(self, crow: Crow, premises: Premises) -> None:
        self._crow, self._premises = crow, premises

    def require(self, plugin: str) -> None:
        """Raises `PluginOff`."""
        if not self.has(plugin):
            raise PluginOff(plugin)

    def has(self, plugin: str) -> bool:
        return self._premises.is_enabled(plugin)

    async def call(self, tool: str, **arguments: object) -> dict[str, Any]:
        """A tool's structured answer. Raises `Failed` with its sentence."""
        given = {name: value for name, value in arguments.items() if value is not None}
        try:
            result = await self._premises.server.call_tool(tool, given)
        except FastMCPError as error:
            raise Failed(str(error)) from error
        answer = result.structured_content
        return dict(answer) if answer is not None else {}

    async def sync_status(self) -> dict[str, Any]:
        """What the sync tool answers; empty where the replicator is off."""
        return await self.call("crow_sync_status") if self.has("replicator") else {}

    async def tools(self) -> dict[str, bool]:
        """The tools there are by name, and whether each can write."""
        listed = await self._premises.server.list_tools()
        return {tool.name: not (tool.annotations and tool.annotations.read_only_hint) for tool in listed}

    def summaries(self) -> list[Summary]:
        """What the plugins that are on say of this instance."""
        found = self._premises.contributions("register_summary", Summary)
        return [summary for plugin, summary in found if self.has(plugin) and summary.kind in COUNTED]

    def names(self) -> dict[str, str]:
        """What the instances are called here, by id, this one first; not only those that are listed."""
        named = {self._crow.instance.id: self._crow.instance.name}
        if self.has("registry"):
            others = self._crow.service(REGISTRY).others()
            named |= {other.instance.id: other.instance.name for other in others}
        return named
