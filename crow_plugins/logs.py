"""Logs: one line an event on stderr, for people or as JSON. Standard output belongs to answers."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from crow_plugins.config import Environment
from crow_plugins.files import FILE_MODE, FileFault, make_private_folder

# Each request, each poll, each tool that said no: only what goes wrong.
TALKATIVE = ("uvicorn", "mcp", "fastmcp", "httpx2", "asyncio", "apscheduler")
# Its tracebacks repeat what another instance answered; whoever called says in a sentence that it was no answer.
UNHEARD = "mcp.client.streamable_http"

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
    logging.getLogger(UNHEARD).setLevel(logging.CRITICAL)


FILES_KEPT = 5
FILE_BYTES_MAX = 2 << 20


@contextmanager
def kept(file: Path) -> Iterator[None]:
    """Write every log record into `file` as well, while the block lasts; only the gateway may, there is one a home.

    Older lines are in `file.1` to `file.4`, the oldest in the last. Raises a `FileError`.
    """
    make_private_folder(file.parent)
    root = logging.getLogger()
    try:
        handler = PrivateFile(file, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT - 1, encoding="utf-8")
    except OSError as error:
        raise FileFault(file, error) from error
    handler.setFormatter(next((each.formatter for each in root.handlers if each.formatter), None) or Lines())
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


class PrivateFile(RotatingFileHandler):
    """A log file that only its owner can read, whatever the umask; what finds no room in it stands on stderr alone."""

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors="replace", opener=_private)

    def close(self) -> None:
        """What is still unwritten is on stderr."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # logging's spelling
        """Nothing: logging would put a traceback on stderr for each line, where the line itself is already."""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)


class Lines(logging.Formatter):
    """`2026-01-31T09:15:00Z INFO gateway: listening …`"""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%SZ")

    def formatMessage(self, record: logging.LogRecord) -> str:  # logging's spelling
        """The one line; what was logged cannot begin another."""
        record.name = record.name.removeprefix("crow_plugins.")
        return "".join(each if each.isprintable() else f"\\x{ord(each):02x}" for each in super().formatMessage(record))


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
