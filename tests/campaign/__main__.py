"""The proofs of `make test` with larger counts: `make campaign SCALE=10`, or `python -m tests.campaign 10 PART…`.

Seeds are fixed and printed by the tests themselves. What came of it stands in `campaign.json` and `campaign.txt`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

COUNTS: dict[str, tuple[dict[str, int], list[str]]] = {
    "model": ({"CROW_HISTORIES": 20_000, "CROW_CHAIN_HISTORIES": 5_000}, ["tests/causality"]),
    "kills": ({"CROW_KILLS": 200}, ["tests/replicator/test_kills.py"]),
    "power cuts": ({"CROW_CUTS": 300}, ["tests/store/test_power_cut.py", "tests/replicator/test_power_cut.py"]),
    "simulation": ({"seeds": 10}, ["tests/replicator/test_simulation.py"]),
    "hostile entries": ({"CROW_HOSTILE": 1_000}, ["tests/replicator/test_hostile_entries.py"]),
    "partitions": ({"CROW_PARTITIONS": 10}, ["tests/chain/test_partitions.py"]),
    "decoders": ({"CROW_FUZZ": 20_000, "CROW_EXAMPLES": 1_000}, ["tests/campaign/test_decoders.py", "tests/feed"]),
    "tokens": ({"CROW_TOKEN_MUTANTS": 100_000}, ["tests/token"]),
    "mutants": ({}, []),
}
OPERATIONS = 5_000


def run(part: str, scale: int) -> dict[str, object]:
    counts, tests = COUNTS[part]
    scaled = {name: count * scale for name, count in counts.items()}
    given = {name: str(count) for name, count in scaled.items() if name != "seeds"}
    if "seeds" in scaled:
        given["CROW_SIMULATION"] = f"{scaled['seeds']}x{OPERATIONS}"
    begun = time.monotonic()
    command = [sys.executable, "-m", *(["pytest", "-q", "-rfEP", *tests] if tests else ["tests.campaign.mutants"])]
    done = subprocess.run(command, env={**os.environ, **given}, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return {
        "part": part,
        "counts": given,
        "ok": done.returncode == 0,
        "seconds": round(time.monotonic() - begun),
        "seeds": [line for line in lines if line.startswith("seed ")],
        "faults": [line for line in lines if line.startswith(("FAILED", "ERROR", "E  ", "NOT SEEN"))],
        "summary": lines[-1] if lines else done.stderr[-500:],
    }


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description="The proofs with larger counts.")
    parser.add_argument(
        "scale", nargs="?", type=_scale, default=10, help="times the counts of make test; 10 if not said"
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(COUNTS)}; all if none is named")
    asked = parser.parse_args(words)
    if unknown := set(asked.parts) - set(COUNTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(COUNTS)}")
    scale, parts = asked.scale, asked.parts or list(COUNTS)
    found: list[dict[str, object]] = []
    for part in parts:
        found.append(run(part, scale))
        Path("campaign.json").write_text(json.dumps(found, indent=1) + "\n")
        text = [f"{each['part']}: {each['summary']} {each['counts']} {each['faults'] or ''}" for each in found]
        Path("campaign.txt").write_text("\n".join(text) + "\n")
        print(text[-1], flush=True)
    return 0 if all(each["ok"] for each in found) else 1


def _scale(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word} is no number of times; give 1 or more")
    return int(word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
