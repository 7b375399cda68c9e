"""`crow plugins new`: what it writes works as it is, and knows the contract and nothing else of ours."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from crow_hooks import Invalid, Refused
from crow_plugins.gateway import application
from crow_plugins.host import Host
from crow_plugins.nest.access import Access
from crow_plugins.new_plugin.writing import write
from tests.gateway_process import crow


def test_a_new_plugin_passes_its_own_tests(home: Path, tmp_path: Path) -> None:
    made = json.loads(crow(home, "plugins", "new", "tea_log", "--into", str(tmp_path), "--json").stdout)
    assert made["folder"] == str(tmp_path / "crow-tea-log")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests"], cwd=made["folder"], capture_output=True, text=True, timeout=300
    )
    assert "4 passed" in run.stdout, run.stdout


def test_its_page_stands_in_the_nest_whatever_it_is_called(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_host: Callable[..., Host]
) -> None:
    monkeypatch.syspath_prepend(write("page", tmp_path))  # the name of a template and of a page's path of the Nest
    (home / "plugin_manifest.toml").write_text('[[plugin]]\nname = "page"\nmodule = "crow_page"\n')
    host = open_host(home)
    with TestClient(application(host), base_url="http://127.0.0.1") as browser:
        browser.post("/nest/login", data={"code": Access(host.handle("nest")).new_code()})
        shown = browser.get("/nest/page-items")
    assert (shown.status_code, "<h1>Page</h1>" in shown.text) == (200, True)


def test_it_imports_the_contract_and_nothing_else_of_ours(tmp_path: Path) -> None:
    folder = write("tea_log", tmp_path)
    allowed = {"crow_tea_log", "crow_hooks", "fastmcp", "pydantic", *sys.stdlib_module_names}
    for file in (folder / "crow_tea_log").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
            assert {name.split(".")[0] for name in names} <= allowed, file.name


def test_it_is_written_as_we_write(tmp_path: Path) -> None:
    folder = write("tea_log", tmp_path)
    for check in (["check", "--ignore", "I"], ["format", "--check"]):
        run = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--line-length", "120", "."],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        assert run.returncode == 0, run.stdout


@pytest.mark.parametrize(
    "name", ["", "Tea", "1tea", "tea-log", "te", "x" * 33, "tea__log", "tea_", "../tea", "téa", "sqlite", "sqlite_x"]
)
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be a plugin's name"):
        write(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["tea-log", "Tea Log", "tea.log", "tea__log", " tea_log_"])
def test_the_nearest_name_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"a letter first, as in tea_log$"):
        write(name, tmp_path)


def test_nothing_is_overwritten_and_no_plugin_of_ours_is_copied(tmp_path: Path) -> None:
    folder = write("tea_log", tmp_path)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(Refused, match="choose another name or folder"):
        write("tea_log", tmp_path)
    with pytest.raises(Refused, match="comes with Crow"):
        write("memories", tmp_path)
    for ours in ("hooks", "plugins"):
        with pytest.raises(Refused, match=f"the package crow_{ours} is here already"):
            write(ours, tmp_path)
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
