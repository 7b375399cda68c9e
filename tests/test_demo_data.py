"""`make demo-data`: package descriptions of the machine become memories, in a home of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.gateway_process import crow

ROOT = Path(__file__).parent.parent
INDEX = """\
Package: ravend
Version: 1.0
Section: birds
Priority: optional
Maintainer: Some Birds <birds@example.org>
Homepage: https://example.org/raven
Description: watches over ravens
 A longer text
 .
 in two paragraphs.

Package: silent
Version: 2.0

Package: ravend
Version: 1.0
Description: the same once more
"""


def test_every_described_package_is_a_memory_once(tmp_path: Path) -> None:
    index = tmp_path / "bin" / "apt-cache"  # the index of another machine than this one
    index.parent.mkdir()
    index.write_text(f"#!/bin/sh\ncat <<'END'\n{INDEX}END\n")
    index.chmod(0o755)
    binaries, demo = Path(sys.executable).parent, tmp_path / "demo"
    command = ["make", "demo-data", f"BIN={binaries}", f"READY={sys.executable}", f"DEMO={demo}"]
    environment = {**os.environ, "PATH": f"{index.parent}:{os.environ['PATH']}"}
    for imported in ("Imported 1 row; 0 are here already", "Imported 0 rows; 1 is here already"):
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert imported in done.stdout
    found = crow(demo / "home", "search", "paragraph").stdout
    assert "watches over ravens" in found
