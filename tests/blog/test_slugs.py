"""Slugs in any script, and how those that two machines gave alike are told apart."""

from __future__ import annotations

import unicodedata

import pytest

from crow_hooks import Invalid
from crow_plugins.blog.slug import SLUG_MAX, checked, free, made_of, shown

ONE, TWO, THREE = "aaaaaa11-0000", "bbbbbb22-0000", "bbbbbb22-1111"


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("My first post!", "my-first-post"),
        ("  Über  Straßen — & Crème ", "über-straßen-crème"),
        ("カラスの話", "カラスの話"),
        ("हिन्दी में", "हिन्दी-में"),
        ("Ворона и сыр", "ворона-и-сыр"),
        ("🦆", "post"),
        ("a~b/c?d#e%f", "a-b-c-d-e-f"),
        ("x" * 300, "x" * SLUG_MAX),
        ("word " * 60, "-".join(["word"] * 20)),
    ],
)
def test_a_title_makes_a_slug_in_its_own_script(title: str, slug: str) -> None:
    assert made_of(title) == slug
    assert checked(slug) == slug


def test_a_slug_is_one_spelling_however_it_was_typed() -> None:
    assert checked(unicodedata.normalize("NFD", "CRÈME")) == "crème"


@pytest.mark.parametrize("slug", ["", "a~b", "a/b", "a b", "-a", "a-", "a--b", "a.b", "a_b", "%61", "x" * 101, None, 1])
def test_what_is_no_slug_is_refused(slug: object) -> None:
    with pytest.raises(Invalid, match="slug is words of letters"):
        checked(slug)


def test_the_first_row_shows_its_slug_bare_and_the_others_the_beginning_of_their_ids() -> None:
    ids = [ONE, TWO, THREE]
    assert [shown("a", each, ids) for each in ids] == ["a", "a~bbbbbb220", "a~bbbbbb221"]
    assert [shown("a", each, [TWO, ONE]) for each in [TWO, ONE]] == ["a", "a~aaaaaa"]


def test_a_title_that_was_used_gets_a_number() -> None:
    taken = {"a", "a-2", "x" * SLUG_MAX}
    assert free("a", taken.__contains__) == "a-3"
    assert free("x" * SLUG_MAX, taken.__contains__) == "x" * (SLUG_MAX - 2) + "-2"
