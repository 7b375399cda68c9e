"""A FastMCP server with one tool that takes what `crow_store_memory` takes and does nothing with it, and an echo.

python -m bench.bare_server      says {"mcp": "http://…"} and serves until its standard input ends
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import uuid

import uvicorn
from fastmcp import FastMCP

from bench.echo import add_echo
from crow_plugins.memories.tools import MemoryAnswer

server = FastMCP("bare")
add_echo(server)


@server.tool
def store_memory(content: str, category: str = "general", tags: list[str] | None = None) -> MemoryAnswer:
    """Answer as if the memory were stored."""
    return MemoryAnswer(
        id=str(uuid.uuid4()),
        content=content,
        category=category,
        importance=5,
        tags=tags or [],
        context=None,
        source=None,
        project_id=None,
        origin_instance="x" * 36,
        created_at=0,
        updated_at=0,
        lamport_ts=1,
    )


def main() -> None:
    # The protocol said outright: asyncio turns Nagle's delay off only where it sees TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.bind(("127.0.0.1", 0))
    listening.listen()  # from now on whoever connects waits until it answers
    print(json.dumps({"mcp": f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"}), flush=True)
    serving = uvicorn.Server(uvicorn.Config(server.http_app(), log_level="warning"))

    def end() -> None:
        sys.stdin.read()
        serving.should_exit = True

    threading.Thread(target=end, daemon=True).start()
    serving.run([listening])


if __name__ == "__main__":
    main()
