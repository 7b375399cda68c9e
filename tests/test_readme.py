"""What the README and the first steps tell a newcomer to type, typed."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "docs" / "first-steps.md"]


def console_lines(page: Path) -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL)
    return [line.removeprefix("$ ").split("  #")[0].strip() for block in blocks for line in block.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_the_page_works_in_the_order_given(page: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "CROW_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    lines = [line for line in console_lines(page) if line.startswith("crow ") and not line.startswith("crow serve")]
    if not any(line.startswith("crow init") for line in lines):
        lines.insert(0, "crow init")
    for line in lines:
        done = subprocess.run(
            shlex.split(line), cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert len(lines) > 4


def test_the_first_two_commands_are_make_run_and_make_test_as_ci_runs_them() -> None:
    assert console_lines(ROOT / "README.md")[:2] == ["make run", "make test"]
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


def test_make_run_serves_and_says_what_to_do_next(tmp_path: Path) -> None:
    command = ["make", "run", "PORT=0", f"BIN={Path(sys.executable).parent}", f"READY={sys.executable}"]
    environment = {**os.environ, "CROW_HOME": str(tmp_path / "home")}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while "Stop it" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    assert re.search(r"answers at http://127\.0\.0\.1:\d+/mcp\n", said)
    assert "crow token create" in said
    documentation = re.search(r"documentation +(\S+)", said)
    assert documentation is not None
    assert Path(documentation[1]).is_file()
