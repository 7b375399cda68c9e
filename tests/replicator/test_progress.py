"""How fast an instance catches up, and how soon its peers have what it writes."""

from __future__ import annotations

import pytest

from crow_plugins.replicator.progress import Lag, Rates


def seconds(lag: Lag, peer_id: str, now: float) -> float | None:
    return lag.of(peer_id, now)[1]


def test_a_rate_is_entries_a_second_while_something_is_to_come() -> None:
    rates = Rates()
    assert rates.look({"swan": 0}, {"swan": 1000}, 10.0) == {}
    assert rates.look({"swan": 200}, {"swan": 800}, 12.0) == {"swan": 100.0}
    assert rates.look({"swan": 200}, {"swan": 800}, 14.0)["swan"] == pytest.approx(70.0)
    assert rates.look({"swan": 1000}, {"swan": 0}, 15.0) == {}


def test_lag_is_from_the_write_to_the_word_of_the_peer() -> None:
    lag = Lag()
    lag.told("swan", 0, 0.0)
    lag.wrote(1.0)
    lag.reached(1, 1.2)
    assert seconds(lag, "swan", 1.3) == pytest.approx(0.3)
    lag.told("swan", 1, 1.5)
    assert seconds(lag, "swan", 99.0) == pytest.approx(0.5)


def test_the_lag_of_a_peer_that_does_not_answer_grows() -> None:
    lag = Lag()
    for peer in ("swan", "heron"):
        lag.told(peer, 0, 0.0)
    lag.wrote(1.0)
    lag.reached(5, 1.0)
    lag.told("swan", 5, 1.25)
    assert seconds(lag, "swan", 61.0) == pytest.approx(0.25)
    assert seconds(lag, "heron", 61.0) == pytest.approx(60.0)
    assert lag.of("heron", 61.0)[0] == 0


def test_a_peer_that_is_not_connected_has_no_lag() -> None:
    lag = Lag()
    lag.told("swan", 3, 0.0)
    lag.left("swan")
    assert lag.of("swan", 1.0) == (None, None)
