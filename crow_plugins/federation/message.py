"""What a request of another instance asks for, read from its body: one MCP message, told in one way only.

The body is read again by the MCP server. So what two readers could take for two things is refused here: a key that
stands twice, several messages in one body. The server's own reading is then held to this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn

from crow_hooks import CrowError, Data

CALL_TOOL, LIST_TOOLS = "tools/call", "tools/list"
METHODS = frozenset(
    {
        "initialize",
        "server/discover",
        "ping",
        "notifications/initialized",
        "notifications/cancelled",  # of the caller's own call
        LIST_TOOLS,
        CALL_TOOL,
    }
)


class BadMessage(CrowError):
    """A body that is not one MCP message."""

    code = "bad_message"

    def __init__(self) -> None:
        super().__init__("the body is not one MCP message; send one JSON object with a method, and no key twice")


@dataclass(frozen=True, slots=True)
class Message:
    """One message: its method and, where a tool is called, which and with what. All empty where there is no body."""

    method: str = ""
    tool: str = ""
    arguments: Data | None = None

    @property
    def subject(self) -> str:
        return self.tool or self.method


def read_message(body: bytes) -> Message:
    """Raises `BadMessage`."""
    value = _parsed(body)
    if not isinstance(value, dict) or not isinstance(value.get("method"), str):
        raise BadMessage
    method: str = value["method"]
    if method != CALL_TOOL:
        return Message(method)
    parameters = value.get("params")
    if not isinstance(parameters, dict) or not isinstance(parameters.get("name"), str):
        raise BadMessage
    arguments = parameters.get("arguments")
    if arguments is not None and not isinstance(arguments, Mapping):
        raise BadMessage
    return Message(method, parameters["name"], arguments or {})


def _parsed(body: bytes) -> object:
    try:
        value: object = json.loads(body.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadMessage from error
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadMessage
    return found


def _refuse(text: str) -> NoReturn:
    raise BadMessage
