"""What the Nest says first: whether everything is in sync, what is not, and how fast it goes."""

from __future__ import annotations

from typing import Any

import pytest

from crow_plugins.nest.throughput import SPAN_SECONDS, WIDTH, Throughput
from crow_plugins.remarks import Remark, of_instances
from crow_plugins.wording import called, columns


def row(name: str, status: str = "online", **changes: Any) -> dict[str, Any]:
    return {"name": name, "status": status, "own": False, "revoked": False, **changes}


def feed(name: str, **changes: float) -> dict[str, Any]:
    return {"name": name, "behind": 0, "frozen": False, "parked": 0, "rejected": 0, **changes}


def status(*feeds: dict[str, Any], conflicts: int = 0, suspect: str | None = None) -> dict[str, Any]:
    return {"feeds": list(feeds), "open_conflicts": conflicts, "suspect": suspect}


OWN, SWAN = row("grackle", own=True), row("swan")
SAID = {
    "alone": ([OWN], status(), ["Everything is on this machine, the only one so far"]),
    "well": ([OWN, SWAN], status(feed("swan")), ["Everything is in sync"]),
    "without the replicator": ([OWN, SWAN], {}, ["Every machine answers"]),
    "met through another": ([OWN, row("swan", "unknown")], status(feed("swan", applied=3)), ["Everything is in sync"]),
    "catching up": (
        [OWN, SWAN],
        status(feed("swan", behind=58_800, rate=5300.4, seconds_left=11.1)),
        ["58\u202f800 entries of swan still to come: 5\u202f300 a second, about 11 s left"],
    ),
    "behind": ([OWN, SWAN], status(feed("swan", behind=1)), ["1 entry of swan still to come"]),
    "conflicts": ([OWN, SWAN], status(conflicts=2), ["2 conflicts wait for you"]),
    "away": ([OWN, row("swan", "offline"), row("heron", "offline")], status(), ["No answer from swan, heron"]),
    "new": ([OWN, row("swan", "unknown")], status(), ["Not heard from yet: swan"]),
    "revoked ones do not count": ([OWN, row("swan", "offline", revoked=True)], status(feed("grackle")), None),
    "suspect": ([OWN, SWAN], status(suspect="restored"), ["This machine does not append to its feed now: restored"]),
    "frozen": ([OWN, SWAN], status(feed("swan", frozen=True)), ["The feed of swan is frozen: it has two histories"]),
    "waiting": (
        [OWN, SWAN],
        status(feed("swan", parked=3, rejected=1)),
        ["3 entries wait to be applied", "1 entry was refused"],
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_how_things_are_is_said_in_a_few_sentences(case: str) -> None:
    rows, found, said = SAID[case]
    remarks = of_instances(rows, found)
    assert [remark.text for remark in remarks] == (said or ["Everything is on this machine, the only one so far"])
    assert (remarks[0].tone == "good") == (
        case in ("alone", "well", "without the replicator", "met through another") or said is None
    )


def test_many_are_counted_and_not_listed() -> None:
    rows = [OWN, *(row(f"heron-{number}", "offline") for number in range(50))]
    feeds = [feed(f"heron-{number}", behind=7) for number in range(50)]
    remarks = of_instances(rows, status(*feeds))
    assert remarks[5] == Remark("warn", "45 more feeds are behind", "sync")
    assert remarks[6].text.endswith("heron-3, heron-4 and 45 more")
    assert len(remarks) == 7


def test_throughput_is_drawn_over_the_last_minutes_and_old_rates_leave() -> None:
    now = [0.0]
    throughput = Throughput(lambda: now[0])
    assert throughput.drawn().latest == 0
    for entries in (0, 100, 100, 400):
        throughput.add(entries)
        now[0] += 10
    drawn = throughput.drawn()
    assert (drawn.latest, drawn.highest) == (30.0, 30.0)
    places = [tuple(map(float, point.split(","))) for point in drawn.points.split()]
    assert places == sorted(places)
    assert places[-1][0] == WIDTH
    assert drawn.area.startswith(f"{places[0][0]:.1f},40 ")
    now[0] += SPAN_SECONDS
    throughput.add(400)
    assert throughput.drawn().highest == 0


def test_samples_that_come_too_often_are_passed_over() -> None:
    now = [0.0]
    throughput = Throughput(lambda: now[0])
    for entries in range(100):
        throughput.add(entries)
        now[0] += 0.1
    assert throughput.drawn().latest == pytest.approx(10, rel=0.2)


def test_a_row_is_called_by_what_says_most() -> None:
    assert called({"category": "x", "content": " two\nlines "}, "1") == "two lines"
    assert called({"title": "", "name": "Ada"}, "1") == "Ada"
    assert called({"size": 3}, "1") == "1"


def test_columns_line_up_whatever_stands_in_them() -> None:
    rows = [("grackle", "1\u202f200"), ("鳥", "7")]
    assert columns(("name", "rows"), rows, frozenset({1})).splitlines() == [
        "name      rows",
        "grackle  1\u202f200",
        "鳥           7",
    ]
