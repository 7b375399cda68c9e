"""A machine that joins when another one is gone: it gets all that the lost one had written while it was trusted."""

from __future__ import annotations

import json
import time
from pathlib import Path

from crow_plugins.files import make_private_folder
from crow_plugins.keyring import Keyring
from tests.chain.test_kills import contents, homes, register
from tests.gateway_process import crow, running_gateway

SYNC = ("sync", "now", "--wait", "60", "--json")


def remember(home: Path, content: str) -> None:
    assert crow(home, "remember", content).returncode == 0


def test_what_a_revoked_machine_had_written_reaches_who_joins_later(tmp_path: Path) -> None:
    made = homes(tmp_path)
    remember(made["swan"], "written at the swan")
    remember(made["swan"], "and once more")
    with running_gateway(made["grackle"]) as grackle:
        with running_gateway(made["swan"]):
            register(made["swan"], grackle)
            assert json.loads(crow(made["swan"], *SYNC).stdout)["complete"]
            done = crow(made["grackle"], *SYNC)
            assert json.loads(done.stdout)["complete"], done.stdout + done.stderr
        done = crow(made["grackle"], "instances", "revoke", "swan", "--yes")
        assert done.returncode == 0, done.stdout + done.stderr
        heron = tmp_path / "heron"
        make_private_folder(heron)
        Keyring.create(heron, name="heron", role="satellite", now=int(time.time()), seed=b"\x2a" * 32)
        with running_gateway(heron):
            register(heron, grackle)
            done = crow(heron, *SYNC)
            assert json.loads(done.stdout)["complete"], done.stdout + done.stderr
        assert contents(heron) == ["and once more", "written at the swan"]
