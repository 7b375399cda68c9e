"""Log lines: one an event, whatever was logged."""

from __future__ import annotations

import json
import logging
import subprocess
import sys

import pytest

from crow_plugins.logs import FILE_BYTES_MAX, JsonLines, Lines, PrivateFile


def record(message: str, *arguments: object, fault: Exception | None = None) -> logging.LogRecord:
    trace = (type(fault), fault, None) if fault else None
    made = logging.LogRecord("crow_plugins.gateway", logging.INFO, "file", 1, message, arguments, trace)
    made.created = 1_800_000_000.0
    return made


def test_a_line_says_when_how_bad_where_and_what() -> None:
    assert Lines().format(record("ready port=%d", 3001)) == "2027-01-15T08:00:00Z INFO gateway: ready port=3001"


@pytest.mark.parametrize("formatter", [Lines(), JsonLines()], ids=["text", "json"])
def test_what_was_logged_cannot_forge_a_second_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("label=%s", "x\n2027-01-15T08:00:00Z INFO gateway: all is well\r\x1b[2K"))
    assert "\n" not in line
    assert "\x1b" not in line


def test_json_lines_hold_the_traceback() -> None:
    line = json.loads(JsonLines().format(record("failed", fault=OSError("disk full"))))
    assert line["message"] == "failed"
    assert line["logger"] == "crow_plugins.gateway"
    assert "disk full" in line["traceback"]


def test_a_log_file_without_room_does_not_fill_stderr_with_tracebacks(capsys: pytest.CaptureFixture[str]) -> None:
    handler = PrivateFile("/dev/full", maxBytes=FILE_BYTES_MAX, backupCount=1, encoding="utf-8")
    for number in range(3):
        handler.handle(logging.makeLogRecord({"msg": f"line {number}"}))
    handler.close()
    assert capsys.readouterr().err == ""


def test_what_another_instance_answered_is_not_repeated_in_the_log() -> None:
    """The SDK tells of an answer that is none with a traceback, in which the answer stands."""
    said = "from crow_plugins import config, logs; import logging; logs.configure(config.Environment()); "
    said += "logging.getLogger('mcp.client.streamable_http').error('theirs'); logging.getLogger('mcp').error('ours')"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert "ours" in done.stderr
    assert "theirs" not in done.stderr
