"""Whether a gateway runs in a home is known by its lock; to look disturbs nobody."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

from crow_plugins.config import Home
from crow_plugins.gateway import GatewayRunning, only_gateway
from crow_plugins.running import gateway_runs


@contextmanager
def looked_at(home: Home) -> Iterator[IO[bytes]]:
    """As one looks in another process, who is there for a moment only."""
    with home.gateway_lock.open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield lock


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    with only_gateway(home):
        assert gateway_runs(home)
    return home


def test_who_looks_is_not_taken_for_a_gateway(home: Home) -> None:
    with looked_at(home):
        assert not gateway_runs(home)


def test_a_gateway_that_starts_while_somebody_looks_waits_for_that(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with looked_at(home) as lock:
        monkeypatch.setattr(time, "sleep", lambda seconds: lock.close())
        with only_gateway(home):
            assert gateway_runs(home)


def test_of_two_gateways_the_second_is_refused(home: Home) -> None:
    with only_gateway(home), pytest.raises(GatewayRunning), only_gateway(home):
        pass
