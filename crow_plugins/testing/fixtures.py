"""The pytest plugin: found by its entry point wherever Crow is installed, so tests only ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from crow_plugins.testing.chain import Chain


@pytest.fixture
def crow_manifest() -> str:
    """What each home's `plugin_manifest.toml` says; override it to list your plugin."""
    return ""


@pytest.fixture
def crow_chain(tmp_path: Path, crow_manifest: str) -> Iterator[Chain]:
    """A chain without instances yet: `crow_chain.add("grackle")`. All is gone after the test."""
    from crow_plugins.testing.chain import Chain  # only tests that ask for it pay for it

    with Chain(tmp_path, crow_manifest) as chain:
        yield chain
