"""Tools as an assistant calls them, and what a refusal must be."""

from __future__ import annotations

from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError


async def call(client: Client[Any], tool: str, **arguments: object) -> dict[str, Any]:
    result = await client.call_tool(tool, arguments)
    assert result.structured_content is not None
    return result.structured_content


async def refused(client: Client[Any], tool: str, arguments: dict[str, object], sentence: str) -> None:
    """One line that says so, and no fault of ours."""
    with pytest.raises(ToolError) as refusal:
        await client.call_tool(tool, arguments)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)
