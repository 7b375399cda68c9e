"""The measurements: what a line of the table says, and that they still measure."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from bench import __main__ as running
from bench.__main__ import main
from bench.figures import Figure, Limits, at_least, below, measured, percentile
from bench.processes import PEERS
from bench.size import Size


@pytest.mark.parametrize(
    ("value", "limits", "verdict"),
    [
        (0.69, at_least(0.7, 0.9), "missed"),
        (0.7, at_least(0.7, 0.9), "met"),
        (0.9, at_least(0.7, 0.9), "aim met"),
        (10, below(10, 3), "missed"),
        (9.9, below(10, 3), "met"),
        (2.9, below(10, 3), "aim met"),
        (14.0, below(None, 15), "aim met"),
        (16.0, below(None, 15), "aim missed"),
        (1.0, Limits(None), ""),
    ],
)
def test_a_figure_says_whether_it_met_its_limits(value: float, limits: Limits, verdict: str) -> None:
    assert measured("a figure", [value], "ms", limits).verdict == verdict


def test_a_figure_is_the_median_of_its_rounds_and_tells_their_spread() -> None:
    figure = measured("catching up", [3000.0, 1000.0, 2400.0], "rows/s", at_least(1500, 20_000))
    assert (figure.value, figure.spread) == ("2,400 rows/s", "1,000 to 3,000")
    assert (figure.floor, figure.aim) == ("≥ 1,500 rows/s", "≥ 20,000 rows/s")


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile(range(100), 0.95) == 95
    assert percentile([7.0], 0.99) == 7.0


def test_what_is_named_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--size", "smoke", "writes", "tool-writes"])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    titles = [line.partition(" (")[0] for line in lines if line.startswith(("Writes by", "All that"))]
    assert titles == ["Writes by the door", "Writes by the MCP tool", "All that is held against a limit"]
    told = [line for line in lines if line.startswith("what the tool takes beyond the bare call")]
    assert len(told) == 2
    assert told[0].split() == told[1].split()


def test_calls_between_instances_are_measured_beside_a_bare_server_and_its_proxy(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["--size", "smoke", "federation"])
    lines = capsys.readouterr().out.splitlines()
    told = [line.strip() for line in lines if line.strip().startswith("federated call against the bare call")]
    assert len(told) == 2
    assert told[0].split() == told[1].split()
    assert any("search of 3 instances, one dead" in line for line in lines)


def test_what_fails_is_told_and_the_rest_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(size: Size) -> Iterator[Figure]:
        yield measured("a figure", [size.rounds], "s", below(2))

    def fails(size: Size) -> Iterator[Figure]:
        raise TimeoutError("nobody came")

    monkeypatch.setattr(running, "BENCHES", {"first": ("The first", fails), "second": ("The second", measure)})
    with pytest.raises(SystemExit, match="could not be measured: first"):
        main(["--size", "smoke"])
    said = capsys.readouterr()
    assert "nobody came" in said.err
    assert "The second (0 s)" in said.out


def test_what_is_not_there_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["gossip"])
    assert "there is no gossip; there are feed, " in capsys.readouterr().err


def test_the_others_are_pinned() -> None:
    """A measurement beside them can be repeated."""
    asked = json.loads((PEERS / "package.json").read_text())["dependencies"]
    locked = json.loads((PEERS / "package-lock.json").read_text())["packages"]
    assert {name: locked[f"node_modules/{name}"]["version"] for name in asked} == asked
