"""The tools of this installation, called as its operator: a page changes things by the same checks as a tool does."""

from __future__ import annotations

from typing import Any

from fastmcp.exceptions import FastMCPError

from crow_hooks import CrowError
from crow_plugins.premises import Premises


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

    def __init__(self, premises: Premises) -> None:
        self._premises = premises

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
