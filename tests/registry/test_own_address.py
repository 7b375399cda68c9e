"""Where an instance says it is reached, and to whom it says so."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from crow_plugins.config import Home
from crow_plugins.files import make_private_folder
from crow_plugins.gateway import only_gateway
from crow_plugins.registry.own_address import own_address, usable, worth_saying

TAILNET, LOOPBACK = "http://100.121.254.89:3001", "http://127.0.0.1:3001"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    make_private_folder(tmp_path / "grackle")
    return Home(tmp_path / "grackle")


def serving(home: Home, host: str) -> None:
    home.gateway.write_text(json.dumps({"pid": os.getpid(), "host": host, "port": 3001, "plugins": []}))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", LOOPBACK),
        ("100.121.254.89", TAILNET),
        ("::1", "http://[::1]:3001"),
        ("0.0.0.0", None),  # nothing listens
        ("::", None),
    ],
)
def test_without_a_setting_it_is_where_the_gateway_listens(home: Home, host: str, url: str | None) -> None:
    with only_gateway(home):
        serving(home, host)
        assert own_address(None, home) == url
        assert own_address("https://crow.example", home) == "https://crow.example"


def test_what_a_killed_gateway_left_behind_is_no_address(home: Home) -> None:
    with only_gateway(home):
        serving(home, "127.0.0.1")
        left = home.gateway.read_bytes()
    home.gateway.write_bytes(left)
    assert own_address(None, home) is None


@pytest.mark.parametrize(
    ("own", "to", "said"),
    [
        (LOOPBACK, "http://localhost:3002", LOOPBACK),
        (LOOPBACK, "http://[::1]:3002", LOOPBACK),
        (LOOPBACK, TAILNET, None),
        (TAILNET, LOOPBACK, TAILNET),
        (None, LOOPBACK, None),
    ],
)
def test_a_loopback_address_is_said_on_the_same_machine_only(own: str | None, to: str, said: str | None) -> None:
    assert worth_saying(own, to) == said


@pytest.mark.parametrize(
    ("said", "same_machine", "kept"),
    [
        (LOOPBACK, True, LOOPBACK),
        (LOOPBACK, False, None),
        ("http://localhost:3001/mcp", False, None),
        (TAILNET + "/mcp", False, TAILNET),
        ("HTTPS://Crow.Example:443", False, "https://crow.example"),
        ("http://user@crow.example", True, None),
        ("nonsense", True, None),
        (None, True, None),
    ],
)
def test_what_is_said_to_us_is_kept_in_one_spelling_if_it_means_something(
    said: str | None, same_machine: bool, kept: str | None
) -> None:
    assert usable(said, same_machine=same_machine) == kept
