"""The settings' MCP tools and resource: arguments with limits, structured answers beside readable text."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_plugins.rows import fenced
from crow_plugins.settings.setting import KEY_MAX, Scope, Setting
from crow_plugins.settings.settings import Settings

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)

KEY = Field(min_length=1, max_length=KEY_MAX, description="Words joined by dots, like editor.font_size.")
VALUE = Field(description="Any JSON value up to 16 KiB; null deletes the setting. Never a password or a key.")
SCOPE = Field(description="shared: on every machine of this person. local: on this one only, where it comes first.")
PREFIX = Field(min_length=1, max_length=KEY_MAX, description="Only keys that begin with these words, like editor.")
ONLY_SCOPE = Field(description="Only shared or only local ones.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=512, description="next_cursor of the last answer.")


class SettingAnswer(BaseModel):
    """A setting and where it comes from; times in unix seconds.

    `in_force` says whether it holds here: a local setting hides a shared one. `deleted` says that it was just removed.
    """

    key: str
    value: Any
    scope: Scope
    in_force: bool
    deleted: bool = False
    origin_instance: str
    updated_at: int
    lamport_ts: int | None


class SettingPage(BaseModel):
    """Some settings of a list; pass `next_cursor` as `cursor` for the next ones."""

    items: list[SettingAnswer]
    next_cursor: str | None
    total: int


def setting_tools(settings: Settings) -> FastMCP:
    server = FastMCP("crow-settings", mask_error_details=True)
    _add_tools(server, settings)
    _add_resource(server, settings)
    return server


def _add_tools(server: FastMCP, settings: Settings) -> None:
    @server.tool(annotations=READS, output_schema=SettingAnswer.model_json_schema())
    def crow_get_setting(key: Annotated[str, KEY]) -> ToolResult:
        """One setting as it holds on this machine: the local one, else the shared one."""
        return _one("Setting", _answer(settings.get(key)))

    @server.tool(annotations=CHANGES, output_schema=SettingAnswer.model_json_schema())
    def crow_set_setting(
        key: Annotated[str, KEY], value: Annotated[Any, VALUE], scope: Annotated[Scope, SCOPE] = "shared"
    ) -> ToolResult:
        """Set a setting for all machines of this person, or for this one only; null deletes it."""
        if value is None:
            return _one("Deleted", _answer(settings.delete(key, scope), deleted=True))
        return _one("Set", _answer(settings.set(key, value, scope)))

    @server.tool(annotations=READS, output_schema=SettingPage.model_json_schema())
    def crow_list_settings(
        prefix: Annotated[str | None, PREFIX] = None,
        scope: Annotated[Scope | None, ONLY_SCOPE] = None,
        limit: Annotated[int, LIMIT] = 50,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """List settings by key, those that a local one hides included."""
        page = settings.list(prefix=prefix, scope=scope, limit=limit, cursor=cursor)
        items = [_answer(setting) for setting in page.items]
        answer = SettingPage(items=items, next_cursor=page.next_cursor, total=page.total)
        lines = "\n".join(_line(item) for item in items)
        return ToolResult(content=f"{page.total} in all.\n{lines}", structured_content=answer.model_dump())


def _add_resource(server: FastMCP, settings: Settings) -> None:
    @server.resource("crow://settings/{key}", mime_type="application/json")
    def setting(key: str) -> str:
        """One setting as it holds on this machine, as JSON."""
        return _answer(settings.get(key)).model_dump_json()


def _answer(setting: Setting, *, deleted: bool = False) -> SettingAnswer:
    return SettingAnswer(**asdict(setting), deleted=deleted)


def _one(verb: str, answer: SettingAnswer) -> ToolResult:
    return ToolResult(content=f"{verb}.\n{_line(answer)}", structured_content=answer.model_dump())


def _line(item: SettingAnswer) -> str:
    """Where it comes from, then the value."""
    hidden = "" if item.in_force else " hidden-by-a-local-one"
    value = json.dumps(item.value, ensure_ascii=False)
    return fenced(f"setting {item.key} scope={item.scope}{hidden} from={item.origin_instance}", value)
