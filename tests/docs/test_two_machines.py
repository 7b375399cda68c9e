"""The tutorial of two machines, typed: every command of the page runs, in its order, each machine in its own home."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from crow_plugins.files import write_private
from crow_plugins.keyring import Keyring
from tests.gateway_process import Gateway, crow, running_gateway
from tests.registry.joining_world import OpenInvitation, open_invitation

PAGE = Path(__file__).parent.parent.parent / "docs" / "two-machines.md"
LINE = re.compile(r"^(\w+)\$ (crow .*)$", re.MULTILINE)


def typed() -> list[tuple[str, str]]:
    """Machine and command of every console line."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    found = [match.groups() for match in map(LINE.match, lines) if match]
    assert len(found) == len(lines), "a line of the page is no command of a machine"
    return [(machine, command) for machine, command in found]


class Desk:
    """The machines of the page: their homes, what serves, and the invitation that is open."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.serving: dict[str, Gateway] = {}
        self.invitation: OpenInvitation | None = None

    def home(self, machine: str) -> Path:
        return self.folder / machine

    def type(self, machine: str, command: str) -> None:
        words = [self._real(word) for word in shlex.split(command)][1:]
        match words:
            case ["serve"]:
                self.serving[machine] = self._stack.enter_context(running_gateway(self.home(machine)))
            case ["invite"]:
                self.invitation = self._stack.enter_context(open_invitation(self.home(machine)))
            case _:
                done = self._run(machine, words)
                assert done.returncode == 0, f"{machine}$ {command}: {done.stderr}"

    def _real(self, word: str) -> str:
        """The page's placeholders, as what they stand for."""
        if word == "URL":
            return self.serving["desktop"].base_url
        if word == "CODE":
            if self.invitation is None or self.invitation.process.poll() is not None:
                self.invitation = self._stack.enter_context(open_invitation(self.home("desktop")))
            return self.invitation.code
        if word.endswith("-URL"):
            return self.serving[word.removesuffix("-URL").lower()].base_url
        return word

    def _run(self, machine: str, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "crow_plugins", *words, "--home", str(self.home(machine))],
            cwd=self.folder,
            env=dict(os.environ),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ExitStack() as stack:
        yield Desk(tmp_path, stack)


def test_every_command_of_the_page_works_in_the_order_given(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PAGE.parent.parent), str(PAGE.parent.parent / "hooks")]))
    write_private(desk.folder / "passphrase", b"correct horse battery staple\n")
    assert crow(desk.home("tablet"), "init", "--name", "tablet").returncode == 0
    lines = typed()
    assert len(lines) > 12
    for machine, command in lines:
        desk.type(machine, command)
        if command.startswith("crow join") and machine == "laptop":
            assert desk.invitation is not None
            desk.invitation.process.wait(60)
    chain = Keyring.public(desk.home("desktop")).chain
    for machine in ("laptop", "tablet", "server"):
        assert Keyring.public(desk.home(machine)).chain == chain
    listed = json.dumps(json.loads(crow(desk.home("desktop"), "instances", "list", "--json").stdout))
    for name in ("laptop", "tablet", "server"):
        assert name in listed
    assert "revoked" in listed


def test_the_page_and_the_command_say_the_same_words() -> None:
    """What the page tells of refusals is what the refusals say."""
    text = PAGE.read_text()
    for sentence in ("knows no invitation of this code", "another instance has this name", "nobody answered"):
        assert sentence in text
