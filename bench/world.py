"""Installations to measure in: made in a temporary folder, gone afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from crow_plugins.host import Host
from crow_plugins.keyring import Keyring


@contextmanager
def installation() -> Iterator[Path]:
    """The home of a new installation."""
    with TemporaryDirectory(prefix="crow-bench-") as folder:
        home = Path(folder) / "home"
        home.mkdir(mode=0o700)
        Keyring.create(home, name="bench", role="home", now=int(time.time()))
        yield home


@contextmanager
def opened() -> Iterator[Host]:
    with installation() as home, Host(home) as host:
        yield host
