"""Gateways and writers killed at any moment: what was acknowledged is on both machines in the end, once."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring
from tests.gateway_process import Gateway, crow, running_gateway

ROOT = Path(__file__).parent.parent.parent
SEED, ROUNDS = 4711, 8
SECONDS_MAX = 60


def homes(folder: Path) -> dict[str, Path]:
    made = {name: folder / name for name in ("grackle", "swan")}
    for name, home in made.items():
        make_private_folder(home)
        Keyring.create(home, name=name, role="home", now=int(time.time()), seed=b"\x2a" * 32)
    return made


@contextmanager
def writing(home: Path, name: str, first: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.chain.writer", str(home), name, str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def acknowledged(process: subprocess.Popen[str], count: int) -> list[int]:
    """Let it write for a while, kill it, and read what it had said."""
    assert process.stdout is not None
    said = [int(process.stdout.readline()) for _ in range(count)]
    process.kill()
    rest = process.stdout.read().splitlines()
    return said + [int(line) for line in rest if line.isdigit()]


def contents(home: Path) -> list[str]:
    with Host(home) as host, host.read() as db:
        return [row[0] for row in db.execute_sql("SELECT content FROM memories ORDER BY content").fetchall()]


def register(one: Path, other: Gateway) -> None:
    done = crow(one, "instances", "register", other.base_url)
    assert done.returncode == 0, done.stderr


def test_nothing_acknowledged_is_lost_and_nothing_comes_twice(tmp_path: Path) -> None:
    chosen, made = random.Random(SEED), homes(tmp_path)
    print("seed", SEED)
    wrote: dict[str, int] = {}
    with running_gateway(made["grackle"]) as grackle, running_gateway(made["swan"]):
        register(made["swan"], grackle)
    for round in range(ROUNDS):
        with ExitStack() as stack:
            gateways = [stack.enter_context(running_gateway(home)) for home in made.values()]
            register(made["swan"], gateways[0])
            for name, home in made.items():
                process = stack.enter_context(writing(home, name, round * 1_000_000))
                for number in acknowledged(process, chosen.randint(1, 60)):
                    wrote[f"{name} {number}"] = number
            for gateway in gateways:
                if chosen.random() < 0.7:
                    gateway.process.kill()
                    gateway.process.wait()
    with running_gateway(made["grackle"]) as grackle, running_gateway(made["swan"]):
        register(made["swan"], grackle)
        done = crow(made["swan"], "sync", "now", "--wait", str(SECONDS_MAX), "--json")
        assert json.loads(done.stdout)["complete"], done.stdout + done.stderr
        other = crow(made["grackle"], "sync", "now", "--wait", str(SECONDS_MAX), "--json")
        assert json.loads(other.stdout)["complete"], other.stdout + other.stderr
    one, two = contents(made["grackle"]), contents(made["swan"])
    assert one == two
    assert len(set(one)) == len(one)
    assert set(wrote) <= set(one)
    for home in made.values():
        found = json.loads(crow(home, "doctor", "--json").stdout)["checks"]
        assert not [each for each in found if each["owner"] == "replicator" and not each["ok"]], found
