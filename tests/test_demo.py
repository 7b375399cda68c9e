"""`crow demo`: the whole story with real gateways, and nothing left of it, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from crow_plugins.demo.machines import DidNotStart, Machine
from tests.gateway_process import CROW

SECONDS_MAX = 240


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the demonstration may write, and no home of anybody's."""
    place = tmp_path / "tmp"
    place.mkdir()
    yield place
    assert sorted(str(each.relative_to(place)) for each in place.rglob("*")) == []


def started(folder: Path, *words: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": str(folder), "CROW_HOME": str(folder.parent / "mine")}
    return subprocess.Popen(
        [*CROW, "demo", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def running_in(folder: Path) -> list[str]:
    """Command lines of processes that speak of the folder."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.splitlines()
    return [line for line in lines if str(folder) in line]


def test_the_story_is_told_to_its_end(folder: Path) -> None:
    with started(folder, "--json") as process:
        out, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    told = json.loads(out)
    assert "Coffee is drunk at four, tea at five" in err
    assert {each["status"] for each in told["asked"]["instances"]} == {"ok"}
    assert [each["title"] for each in told["asked"]["items"]] == ["Coffee is drunk at four, tea at five"]
    assert told["nest"].startswith("http://127.0.0.1:")
    assert running_in(folder) == []
    assert not (folder.parent / "mine").exists()


@pytest.mark.parametrize(
    ("ending", "last"),
    [(signal.SIGINT, "heron answers at"), (signal.SIGHUP, "grackle answers at")],
    ids=["Ctrl-C", "its terminal closes"],
)
def test_it_ends_cleanly_when_it_is_interrupted(folder: Path, ending: signal.Signals, last: str) -> None:
    with started(folder) as process:
        assert process.stdout is not None
        while last not in (line := process.stdout.readline()):
            assert line, process.stderr and process.stderr.read()
        process.send_signal(ending)
        _, err = process.communicate(timeout=SECONDS_MAX)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert running_in(folder) == []


def test_a_machine_that_has_ended_is_not_started_by_whoever_was_late(folder: Path) -> None:
    late = Machine(folder / "grackle", "grackle", "token")
    late.end()
    with pytest.raises(DidNotStart, match="the demonstration has ended"):
        late.start()
