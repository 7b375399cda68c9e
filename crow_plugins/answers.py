"""What an assistant gets when a tool cannot do what it asked: one sentence and a code, never a traceback.

A plugin raises `CrowError`; FastMCP would log that as a crash. Here it becomes a `ToolError`, which is an answer.
Arguments that do not fit a tool's schema become one sentence about the first of them.
"""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any

from fastmcp import FastMCP
from fastmcp.exceptions import FastMCPError, PromptError, ResourceError, ToolError, ValidationError
from fastmcp.prompts.function_prompt import FunctionPrompt
from fastmcp.resources.function_resource import FunctionResource
from fastmcp.resources.template import FunctionResourceTemplate
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools.base import ToolResult
from fastmcp.tools.function_tool import FunctionTool
from mcp_types import CallToolRequestParams
from pydantic import ValidationError as PydanticValidationError

from crow_hooks import CrowError

FAILURES: dict[type, type[FastMCPError]] = {
    FunctionTool: ToolError,
    FunctionResource: ResourceError,
    FunctionResourceTemplate: ResourceError,
    FunctionPrompt: PromptError,
}


async def answer_errors(server: FastMCP) -> None:
    """Make every tool, resource and prompt of a plugin's server answer with its `CrowError`s."""
    provider = server.local_provider
    components = [
        *await provider.list_tools(),
        *await provider.list_resources(),
        *await provider.list_resource_templates(),
        *await provider.list_prompts(),
    ]
    for component in components:
        failure = next((error for kind, error in FAILURES.items() if isinstance(component, kind)), None)
        if failure is not None:
            component.fn = answering(component.fn, failure)  # type: ignore[attr-defined]  # each kind above has `fn`


def answering(function: Callable[..., Any], failure: type[FastMCPError]) -> Callable[..., Any]:
    def answer(error: CrowError) -> FastMCPError:
        return failure(f"{error.code}: {error}", log_level=logging.INFO)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def run_async(*args: Any, **kwargs: Any) -> Any:
            try:
                return await function(*args, **kwargs)
            except CrowError as error:
                raise answer(error) from error

        return run_async

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except CrowError as error:
            raise answer(error) from error

    return run


class OneSentence(Middleware):
    """Says what is wrong with an argument in one sentence."""

    async def on_call_tool(
        self,
        context: MiddlewareContext[CallToolRequestParams],
        call_next: CallNext[CallToolRequestParams, ToolResult],
    ) -> ToolResult:
        try:
            return await call_next(context)
        except (ValidationError, PydanticValidationError) as error:
            cause = error if isinstance(error, PydanticValidationError) else error.__cause__
            if not isinstance(cause, PydanticValidationError):
                raise
            raise ToolError(sentence(context.message.name, cause), log_level=logging.INFO) from error


def sentence(tool: str, error: PydanticValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"]
    return f"invalid: {where} of {tool}: {message[:1].lower()}{message[1:]}; correct it and call again"
