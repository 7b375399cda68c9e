"""What keeps everything out is said to any process of the home, with what to do, and no longer than it lasts."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from crow_plugins.files import FileFault
from crow_plugins.replicator.failing import FRESH_SECONDS, NAME, Failing
from crow_plugins.store import StoreUnavailable

NOW = 1_800_000_000


def caused(error: Exception) -> StoreUnavailable:
    found = StoreUnavailable(Path("crow.db"), error)
    found.__cause__ = error
    return found


@pytest.mark.parametrize(
    ("error", "what", "to_do"),
    [
        (caused(apsw.FullError("database or disk is full")), "the disk is full", "make room"),
        (caused(apsw.BusyError("database is locked")), "busy", "end it or wait"),
        (caused(apsw.IOError("disk I/O error")), "disk I/O error", "check its permissions and the disk"),
        (FileFault(Path("feed.seal"), OSError(28, "No space left on device")), "no space left", "put that right"),
        (ValueError("something of ours"), "ValueError", "crow logs"),
    ],
)
def test_each_cause_is_said_with_what_to_do(tmp_path: Path, error: Exception, what: str, to_do: str) -> None:
    here, there = Failing(tmp_path), Failing(tmp_path)
    here.begin()
    assert there.said(NOW) is None
    here.note("applying", error, NOW)
    said = there.said(NOW) or ""
    assert what in said
    assert to_do in said
    here.over("receiving")
    assert there.said(NOW) == said
    here.over("applying")
    assert there.said(NOW) is None


def test_what_is_not_said_again_is_over(tmp_path: Path) -> None:
    failing = Failing(tmp_path)
    failing.begin()
    failing.note("applying", apsw.FullError("database or disk is full"), NOW)
    assert failing.said(NOW + FRESH_SECONDS) is not None
    assert failing.said(NOW + FRESH_SECONDS + 1) is None


def test_it_needs_no_room_that_it_has_not_got_from_the_start(tmp_path: Path) -> None:
    failing = Failing(tmp_path)
    failing.begin()
    size = (tmp_path / NAME).stat().st_size
    for error in (apsw.FullError("database or disk is full"), caused(apsw.IOError("x" * 5000))):
        failing.note("applying", error, NOW)
        assert (tmp_path / NAME).stat().st_size == size


def test_without_a_file_nothing_is_said_and_nothing_fails(tmp_path: Path) -> None:
    failing = Failing(tmp_path / "nowhere")
    failing.begin()
    failing.note("applying", apsw.FullError("database or disk is full"), NOW)
    failing.over("applying")
    assert failing.said(NOW) is None
