"""The page of errors has every code that the code has, and no other."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crow_hooks
import crow_plugins
from crow_hooks import CrowError
from tests.gateway_process import crow

PAGE = Path(__file__).parent.parent.parent / "docs" / "errors.md"
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def errors() -> list[type[CrowError]]:
    """Every error class of ours, once all our modules are imported."""
    for package in (crow_hooks, crow_plugins):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found = dict.fromkeys(family(CrowError))
    return [error for error in found if error.__module__.split(".")[0] in ("crow_hooks", "crow_plugins")]


def family(error: type[CrowError]) -> Iterator[type[CrowError]]:
    yield error
    for each in error.__subclasses__():
        yield from family(each)


def test_the_page_has_every_code_once_and_no_other() -> None:
    documented = [code for code, _, _ in ROW.findall(PAGE.read_text())]
    assert sorted(documented) == sorted({error.code for error in errors()})


def test_a_class_has_a_code_of_its_own_or_deliberately_that_of_its_family() -> None:
    owners: dict[str, type[CrowError]] = {}
    for error in errors():
        if "code" in vars(error):
            assert error.code not in owners, f"{error} and {owners[error.code]} are both {error.code}"
            owners[error.code] = error
    for error in errors():
        assert issubclass(error, owners[error.code])


@pytest.mark.parametrize("error", errors(), ids=lambda error: error.__name__)
def test_a_code_is_in_snake_case_and_its_class_says_what_it_means(error: type[CrowError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", error.code)
    assert (error.__doc__ or "").strip()


def test_the_example_at_the_top_is_what_is_said(home: Path) -> None:
    command, shown = re.findall(r"^\$ crow (.*)\n(.*)\n", PAGE.read_text(), flags=re.MULTILINE)[0]
    said = crow(home, *command.split())
    assert said.returncode == 1
    assert said.stderr.strip().replace(str(home), "~/.crow") == shown


def test_what_the_tools_page_says_of_a_code_is_an_error_that_exists() -> None:
    tools = (PAGE.parent / "tools.md").read_text().split("## Error codes")[1]
    for code in re.findall(r"^\| `(\w+)` \|", tools, flags=re.MULTILINE):
        assert code in {error.code for error in errors()}
