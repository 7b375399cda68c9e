"""A snippet shows the place that matched, with the matched words marked."""

from __future__ import annotations

import pytest

from crow_plugins.fulltext.query import Token
from crow_plugins.fulltext.snippet import PIECE_CHARACTERS, WORDS_MAX, opening, snippet


def tokenize(data: bytes) -> list[Token]:
    """Words between spaces, in lower case."""
    tokens, at = [], 0
    for word in data.split(b" "):
        if word:
            tokens.append((at, at + len(word), word.decode(errors="replace").lower()))
        at += len(word) + 1
    return tokens


def show(text: str, *words: str) -> str | None:
    return snippet(text, lambda stem: stem in words, tokenize)


def test_matched_words_are_marked_as_they_stand() -> None:
    assert show("The Key is here", "key") == "The **Key** is here"


def test_a_text_without_a_match_has_no_snippet() -> None:
    assert show("nothing here", "key") is None
    assert show("", "key") is None


def test_a_long_text_is_cut_around_the_match() -> None:
    shown = show(f"{'before ' * 100}the key {'after ' * 100}", "key")
    assert shown == f"…{'before ' * 3}the **key** {'after ' * 19}".rstrip() + "…"


def test_the_place_with_the_most_of_the_words_is_shown() -> None:
    shown = show(f"key {'x ' * 100}spare key {'x ' * 100}key key key", "spare", "key")
    assert shown is not None
    assert "**spare** **key**" in shown


def test_at_the_end_of_a_text_as_much_is_shown_as_anywhere() -> None:
    shown = show(f"{'x ' * 100}key", "key")
    assert shown == "…" + "x " * (WORDS_MAX - 1) + "**key**"


@pytest.mark.parametrize("filler", ["word ", "é ", "東京 "])
def test_a_match_is_found_anywhere_in_the_longest_text(filler: str) -> None:
    shown = show(filler * 16_000 + "key", "key")
    assert shown is not None
    assert shown.startswith("…")
    assert shown.endswith("**key**")


@pytest.mark.parametrize("before", range(PIECE_CHARACTERS - 5, PIECE_CHARACTERS + 2))
def test_a_match_between_two_pieces_of_a_text_is_whole(before: int) -> None:
    shown = show("x" * (before - 1) + " key " + "y" * 5_000 + " end", "key")
    assert shown is not None
    assert "**key**" in shown
    assert shown.endswith("…")


def test_what_follows_at_the_end_of_a_piece_is_cut_off_visibly() -> None:
    shown = show("x" * (PIECE_CHARACTERS - 1) + " key" + " " * 200 + "end", "key")
    assert shown is not None
    assert shown.endswith("**key**…")


def test_what_stands_before_a_piece_is_cut_off_visibly() -> None:
    assert show("x" + " " * 2 * PIECE_CHARACTERS + "key", "key") == "…**key**"


def test_a_text_that_matches_everywhere_is_cut_too() -> None:
    assert show("key " * 10_000, "key") == " ".join(["**key**"] * WORDS_MAX) + "…"


def test_an_opening_is_the_first_words() -> None:
    assert opening("  short \n text ") == "short \n text"
    assert opening("word " * 100) == " ".join(["word"] * WORDS_MAX) + "…"
