"""The mutants of the campaign are of use: each applies, its test is there, some are run. `make campaign` runs all."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.campaign.guards import MUTANTS
from tests.campaign.mutants import ROOT, DoesNotApply, Mutant

URLS = "crow_plugins.outbound.urls"
TEST = "tests/outbound/test_urls.py::test_a_name_without_answers_is_refused"
HARMLESS = Mutant("nothing", URLS, "    if not addresses:", "    if not tuple(addresses):", TEST)
RUN_SOME = """
from tests.campaign.guards import MUTANTS
from tests.campaign.mutants import run_all
from tests.campaign.test_mutants import HARMLESS, SOME
for result in run_all([HARMLESS, *SOME]):
    print(f"{result.mutant.name}: {result.seen}")
"""
# Some of those whose test takes a moment, from each of these modules.
PURE = ("causality", "token", "urls", "entry", "synced", "certificate", "challenge", "revocation", "membership")
SOME = [
    mutant
    for name in PURE
    for mutant in [each for each in MUTANTS if each.module.endswith(f".{name}") and "::" in each.test][::40]
]


def names_in(path: Path) -> Iterator[str]:
    return (
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def test_every_mutant_applies_and_its_test_is_there() -> None:
    known = {path: set(names_in(ROOT / path)) for path in {mutant.test.split("::")[0] for mutant in MUTANTS}}
    for mutant in MUTANTS:
        ast.parse(mutant.changed_source())
        path, test = mutant.test.split("::")
        assert test in known[path], mutant
    assert len({(mutant.module, mutant.name) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("code", ["if not there_any_more:", "return"])
def test_a_mutant_whose_code_is_gone_or_stands_twice_is_an_error(code: str) -> None:
    with pytest.raises(DoesNotApply, match="say anew what it takes away"):
        Mutant("old", URLS, code, "pass", TEST).changed_source()


def test_some_are_run_and_a_change_without_effect_survives() -> None:
    run = subprocess.run([sys.executable, "-c", RUN_SOME], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = dict(line.rsplit(": ", 1) for line in run.stdout.splitlines())
    assert found.pop("nothing") == "False"
    assert set(found.values()) == {"True"}, run.stdout
    assert len(found) == len({mutant.name for mutant in SOME})
