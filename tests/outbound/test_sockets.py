"""No connection to a forbidden address is ever begun: seen at the socket, whichever way the address came in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.outbound.test_urls import CORPUS

ROOT = Path(__file__).parent.parent.parent
WAYS = ["register", "join", "probe", "call", "sync"]


@pytest.fixture(scope="module")
def reached(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[str]]]:
    """For each text of the corpus and each way, the hosts and addresses that the process reached for."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.outbound.watched", str(tmp_path_factory.mktemp("watched"))],
        input="\n".join(text for text, _ in CORPUS),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["hooks", "."]), "FASTMCP_LOG_ENABLED": "false"},
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_sockets_see_what_may_be_called_and_nothing_else(reached: list[dict[str, list[str]]]) -> None:
    assert len(reached) == len(CORPUS) > 230
    for (text, expected), seen in zip(CORPUS, reached, strict=True):
        assert seen == ({way: [_host(expected)] for way in WAYS} if "://" in expected else {}), text


def test_the_hook_saw_addresses_of_both_kinds_and_names(reached: list[dict[str, list[str]]]) -> None:
    hosts = {host for seen in reached for each in seen.values() for host in each}
    assert {"127.0.0.1", "8.8.8.8", "100.121.254.89", "::1", "2606:4700::1111", "grackle", "localhost"} <= hosts


def _host(url: str) -> str:
    """The host of a canonical URL."""
    return url.partition("://")[2].rpartition("]")[0].removeprefix("[") or url.partition("://")[2].split(":")[0]
