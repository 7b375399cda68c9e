"""kill -9 at every point of a write and of an apply: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.replicator.dying import APPLYING, AT_RANDOM, WRITING

ROOT = Path(__file__).parent.parent.parent
KILLS = int(os.environ.get("CROW_KILLS", "200"))
SEED = 20260131


def test_rows_feed_cursors_and_clock_agree_after_every_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.replicator.dying", str(tmp_path), str(KILLS), str(SEED)]
    path = os.pathsep.join([str(ROOT), str(ROOT / "hooks")])
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"seed {SEED}: {found}")
    assert not found["faults"], f"seed {SEED}: {found['faults'][:5]}"
    for point in (*WRITING, *APPLYING, AT_RANDOM):
        assert found["kills"][point] >= KILLS // 25, f"{point}: {found['kills'][point]} kills"
