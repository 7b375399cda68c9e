"""Logs: one line an event on stderr, for people or as JSON. Standard output belongs to answers."""

from __future__ import annotations

import json
import logging
import os
import sys
import time

from crow_plugins.config import Environment

TALKATIVE = ("uvicorn", "mcp", "httpx2", "asyncio", "apscheduler")  # each request, each poll: only what goes wrong

# FastMCP would put a handler of its own on stderr, and ask the network for newer releases.
QUIET = {"FASTMCP_LOG_ENABLED": "false", "FASTMCP_CHECK_FOR_UPDATES": "off", "FASTMCP_SHOW_SERVER_BANNER": "false"}


def configure(environment: Environment) -> None:
    """Send every log record to stderr. Call it before FastMCP is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if environment.log == "json" else Lines())
    level = environment.log_level.upper()
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))


class Lines(logging.Formatter):
    """`2026-01-31T09:15:00Z INFO gateway: listening …`"""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        record.name = record.name.removeprefix("crow_plugins.")
        return super().format(record)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
