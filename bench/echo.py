"""A tool that answers what it is told, on a server that is nothing else and, as a plugin, on a gateway."""

from __future__ import annotations

from fastmcp import FastMCP
from mcp_types import ToolAnnotations
from pydantic import BaseModel

from crow_hooks import Crow, hookimpl

NAME = "echo"


class Echo(BaseModel):
    """What was said."""

    text: str


def add_echo(server: FastMCP) -> None:
    @server.tool(name=NAME, annotations=ToolAnnotations(read_only_hint=True))
    def echo(text: str) -> Echo:
        """Say it again; on a worker thread, as every tool that reads a database."""
        return Echo(text=text)


@hookimpl
def register_server(crow: Crow) -> FastMCP:
    server = FastMCP("echo")
    add_echo(server)
    return server
