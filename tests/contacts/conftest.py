"""Installations that have the contacts plugin on, whatever the built-in manifest says of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from crow_plugins.files import make_private_folder
from crow_plugins.keyring import Keyring

MANIFEST = """
[[plugin]]
name = "contacts"
module = "crow_plugins.contacts"
enabled = true
"""


@pytest.fixture
def make_home(tmp_path: Path) -> Callable[[str], Path]:
    """Make an installation by its name."""

    def make(name: str) -> Path:
        folder = tmp_path / name
        make_private_folder(folder)
        Keyring.create(folder, name=name, role="home", now=int(time.time()))
        (folder / "plugin_manifest.toml").write_text(MANIFEST)
        return folder

    return make
