"""Hears everything that the runs of a story say, and finds any secret in it, however it is spelled."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from nacl.bindings import crypto_sign_ed25519_sk_to_curve25519, crypto_sign_seed_keypair

from crow_plugins.identity import invitation, keys, words
from tests import warm
from tests.gateway_process import CROW
from tests.warm import DEADLINE_SECONDS, Run

WORDS_IN_A_ROW = 4  # of 2048, so chance does not put them so
STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.system")


@dataclass(frozen=True)
class Heard:
    """What came from somewhere; `told` are the secrets that may be in it, since telling them is what it is for."""

    where: str
    content: bytes
    told: frozenset[str] = frozenset()


@dataclass
class Witness:
    """Runs `crow`, and keeps what it was given, what it printed and whom it started."""

    folder: Path
    heard: list[Heard] = field(default_factory=list)

    def run(self, home: Path, *arguments: str, told: str = "", given: str = "", **environment: str) -> tuple[int, str]:
        """A command to its end: exit code and stdout. `told` may be in its answer, `given` is an argument of it."""
        with warm.running(home, *arguments, before=self._watched(), **environment) as run:
            said, code = run.out.read(), run.ended()
        where = f"{home.name}$ crow {' '.join(arguments[:2])}"
        self.add(where, said.encode(), told)
        self.add(f"{where}, beside its answer", run.err.read_bytes())
        self.add(f"{where}, arguments", "\0".join(arguments).encode(), given)
        return code, said

    @contextmanager
    def serving(self, home: Path, **environment: str) -> Iterator[str]:
        """A gateway with everything logged; its URL."""
        options = {"CROW_LOG_LEVEL": "debug", **environment}
        arguments = ["serve", "--port", "0", "--json"]
        with warm.running(home, *arguments, before=self._watched(), **options) as run:
            line = json.dumps(run.answer())
            yield json.loads(line)["mcp"].removesuffix("/mcp")
            run.stop()
            self._ended(run, f"{home.name}$ crow serve", line)

    @contextmanager
    def started(self, home: Path, *arguments: str, told: str = "", given: str = "") -> Iterator[subprocess.Popen[str]]:
        """A command in a process that Python was started for, as a person starts it: with a command line to look at."""
        where, err = f"{home.name}$ crow {arguments[0]}", self.folder / f"stderr of {arguments[0]}"
        command = [*CROW, *arguments, "--home", str(home)]
        with (
            err.open("wb") as beside,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=beside, text=True) as process,
        ):
            try:
                self.add(f"{where}, command line", command_line(process.pid, arguments[0]), given)
                yield process
                process.wait(DEADLINE_SECONDS)
            finally:
                process.kill()
            assert process.stdout is not None
            self.add(f"{where}, at last", process.stdout.read().encode(), told)
        self.add(f"{where}, beside its answer", err.read_bytes())

    def add(self, where: str, content: bytes, told: str = "") -> None:
        self.heard.append(Heard(where, content, frozenset(told.split(","))))

    def _ended(self, run: Run, where: str, said: str) -> None:
        self.add(where, said.encode() + run.out.read().encode())
        self.add(f"{where}, beside its answer", run.err.read_bytes())

    def _watched(self) -> partial[None]:
        return partial(note_starts, self.folder / "started")


def command_line(pid: int, word: str) -> bytes:
    """What anybody on the machine sees of a process that runs; it has no such line until its program is loaded."""
    end = time.monotonic() + DEADLINE_SECONDS
    while word.encode() not in (shown := _command_line(pid)):
        assert time.monotonic() < end, shown
        os.sched_yield()
    return shown


def _command_line(pid: int) -> bytes:
    if sys.platform == "linux":
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], stdout=subprocess.PIPE, check=True).stdout


def note_starts(file: Path) -> None:
    """Write down every program that this process starts, with its arguments."""

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event in STARTS:
            with file.open("a") as out:
                out.write(f"{arguments!r}\n")

    sys.addaudithook(note)


def key_secrets(name: str, secret: bytes, pairs: Mapping[str, keys.KeyPair]) -> dict[str, list[bytes]]:
    """A secret and the private keys that are made of it, each in all its spellings."""
    found = {name: spellings(secret), f"words of the {name}": spoken(words.of_secret(secret))}
    for of, pair in pairs.items():
        scalar = crypto_sign_ed25519_sk_to_curve25519(crypto_sign_seed_keypair(pair.seed)[1])
        found[f"{of} key of the {name}"] = [*spellings(pair.seed), *spellings(scalar)]
    return found


def spellings(secret: bytes) -> list[bytes]:
    """Bytes as they are, in hex, in base64 wherever they begin in it, as Python and as JSON show them."""
    forms = [secret, secret.hex().encode(), secret.hex().upper().encode(), repr(secret)[2:-1].encode()]
    forms += [", ".join(map(str, secret)).encode(), ",".join(map(str, secret)).encode()]
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + secret)
        inner = coded[(8 * before + 5) // 6 : len(coded) - 4]
        forms += [inner, inner.replace(b"+", b"-").replace(b"/", b"_")]
    return forms


def text_spellings(text: str) -> list[bytes]:
    return [*spellings(text.encode()), text.lower().encode(), text.replace("-", "").lower().encode()]


def code_spellings(code: str) -> list[bytes]:
    return [*text_spellings(code), *spellings(invitation.typed(code))]


def spoken(text: str) -> list[bytes]:
    """Words in their order: any few of them, whatever stands between."""
    said = text.split()
    return [" ".join(said[start : start + WORDS_IN_A_ROW]).encode() for start in range(len(said) - WORDS_IN_A_ROW + 1)]


def holds(content: bytes, forms: list[bytes]) -> bool:
    """Whether a secret is in there."""
    letters = b" ".join(re.findall(rb"[a-z]+", content.lower()))
    return any(form in content or form in letters for form in forms)


def files_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            yield os.fspath(path.relative_to(folder)), path.read_bytes()
