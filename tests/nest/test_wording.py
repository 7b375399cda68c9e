"""Times, sizes and numbers as people read them; differences word by word."""

from __future__ import annotations

import pytest

from crow_plugins.nest.differences import Piece, differences, words
from crow_plugins.wording import ago, exact, number, plural, size

NOW = 1_800_000_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "just now"),
        (9, "just now"),
        (-3, "just now"),
        (10, "10 s ago"),
        (200, "3 min ago"),
        (7300, "2 h ago"),
        (40 * 3600, "40 h ago"),
        (3 * 86_400, "3 days ago"),
        (-7300, "in 2 h"),
        (40 * 86_400, "2026-12-06"),
    ],
)
def test_times_are_told_as_people_tell_them(seconds: int, text: str) -> None:
    assert ago(NOW - seconds, NOW) == text


def test_what_never_was_says_so() -> None:
    assert ago(None, NOW) == "never"
    assert exact(None) == ""
    assert exact(NOW) == "2027-01-15 08:00:00 UTC"


def test_numbers_line_up_and_words_agree_with_them() -> None:
    assert number(1_234_567) == "1\u202f234\u202f567"
    assert (plural(1, "entry", "entries"), plural(0, "entry", "entries")) == ("1 entry", "0 entries")
    assert [size(count) for count in (0, 1023, 1536, 10 * 2**20, 3 * 2**40)] == [
        *("0 B", "1023 B", "1.5 KiB", "10.0 MiB", "3.0 TiB"),
    ]


def test_words_that_differ_are_marked_on_both_sides() -> None:
    left, right = words("the key is under the mat", "the key is under the stone")
    assert left == [Piece("same", "the key is under the "), Piece("gone", "mat")]
    assert right == [Piece("same", "the key is under the "), Piece("new", "stone")]


def test_pieces_of_each_side_make_up_its_text() -> None:
    one, other = "a  b, c\nd!", "b,  c d?"
    left, right = words(one, other)
    assert "".join(piece.text for piece in left) == one
    assert "".join(piece.text for piece in right) == other


def test_very_long_texts_are_shown_whole() -> None:
    left, right = words("x " * 5000, "y")
    assert (left, right) == ([Piece("gone", "x " * 5000)], [Piece("new", "y")])


def test_only_fields_that_differ_are_told_with_who_changed_them() -> None:
    base = {"a": "1", "b": "1", "c": ["x"], "d": "same"}
    local = {"a": "2", "b": "2", "c": ["x"], "d": "same"}
    remote = {"a": "1", "b": "3", "c": ["y"], "d": "same"}
    found = {each.name: each for each in differences(local, remote, base)}
    assert {name: each.changed_by for name, each in found.items()} == {"a": "local", "b": "both", "c": "remote"}
    assert found["c"].remote_text == '["y"]'
    assert [found["c"].is_json, found["a"].is_json] == [True, False]
    assert all(each.changed_by is None and each.base is None for each in differences(local, remote, None))
