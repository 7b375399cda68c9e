"""`crow import` of real text: rows a second, counted by the command's own clock from start to end."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

from bench.demo_data import write
from bench.figures import Figure

ROWS_A_SECOND_FLOOR = 5000


def measure(home: Path) -> list[Figure]:
    """Import into `home`, which the other measurements then search."""
    file = home.parent / "memories.jsonl"
    write(file)
    began = time.perf_counter()
    command = [sys.executable, "-m", "crow_plugins", "import", str(file), "--home", str(home), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    elapsed = time.perf_counter() - began
    rows = json.loads(done.stdout)["imported"]
    rate = rows / elapsed
    return [
        Figure(
            f"import of {rows:,} memories",
            f"{rate:,.0f} rows/s",
            f"{ROWS_A_SECOND_FLOOR:,} rows/s",
            rate >= ROWS_A_SECOND_FLOOR,
        )
    ]
