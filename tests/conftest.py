"""Small worlds: installations in folders of their own, opened and closed around a test."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring

if TYPE_CHECKING:
    from fastmcp import Client

# A shell that runs the tests in the background has SIGINT ignored, and every process they start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, on a machine however slow: a failure repeats, and never comes from the load.
settings.register_profile(
    "crow",
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    max_examples=int(os.environ.get("CROW_EXAMPLES", "100")),
)
settings.load_profile("crow")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[[str], Path]:
    """Make an installation by its name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        make_private_folder(folder)
        Keyring.create(folder, name=name, role="home", now=int(time.time()))
        return folder

    return make


@pytest.fixture
def home(make_home: Callable[[str], Path]) -> Path:
    return make_home("grackle")


@pytest.fixture
def open_host() -> Iterator[Callable[..., Host]]:
    """Open installations; all are closed after the test."""
    with ExitStack() as stack:
        yield lambda home, **options: stack.enter_context(Host(home, **options))


@pytest.fixture
def host(home: Path, open_host: Callable[..., Host]) -> Host:
    return open_host(home)


@pytest.fixture(params=["auto", "legacy"])
async def client(request: pytest.FixtureRequest, host: Host) -> AsyncIterator[Client[Any]]:
    """An assistant of either protocol era."""
    from fastmcp import Client  # takes a second to import: most tests do without

    async with Client(host.server, mode=request.param) as client:
        yield client
