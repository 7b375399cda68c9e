"""kill -9 at every point of a write and of an apply: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.replicator.dying import APPLYING, AT_RANDOM, WRITING

ROOT = Path(__file__).parent.parent.parent
KILLS = int(os.environ.get("CROW_KILLS", "200"))
SEED = 20260131


def ran(module: str, *arguments: str) -> dict[str, Any]:
    command, path = [sys.executable, "-m", module, *arguments], os.pathsep.join([str(ROOT), str(ROOT / "hooks")])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"seed {SEED}: {found}")
    return found


def test_rows_feed_cursors_and_clock_agree_after_every_kill(tmp_path: Path) -> None:
    found = ran("tests.replicator.dying", str(tmp_path), str(KILLS), str(SEED))
    assert not found["faults"], f"seed {SEED}: {found['faults'][:5]}"
    for point in (*WRITING, *APPLYING, AT_RANDOM):
        assert found["kills"][point] >= KILLS // 25, f"{point}: {found['kills'][point]} kills"


def test_what_was_written_while_the_replicator_was_off_comes_into_the_feed_once_whenever_that_is_killed(
    tmp_path: Path,
) -> None:
    found = ran("tests.replicator.dying_backfill", str(tmp_path), str(SEED))
    assert not found["faults"], f"seed {SEED}: {found['faults'][:5]}"
    assert found["kills"] >= 6
