"""What others say of themselves comes out as plain, short text, or not at all."""

from __future__ import annotations

import pytest
from pydantic import NonNegativeInt

from crow_plugins.projects.summary import ProjectName
from crow_plugins.summaries.cleaning import NAME_MAX, BadSummary, cleaned, one_line

NAMES = [
    ("taxes", "taxes"),
    ("two\nlines\r\nor  three", "two lines or three"),
    ("<img src=x onerror=alert(1)>taxes", "taxes"),
    ("<scr<script>ipt>x", "scriptx"),
    ("![see](http://evil.example/x.png) this", "see this"),
    ("`rm`", "rm"),
    ("\u202eevil\u202c", "evil"),
    ("zero\u200bwidth\ufeff", "zerowidth"),
    ("bell\x07 esc\x1b[31m", "bell esc[31m"),
    ("line\u2028separator", "line separator"),
    ("\ud800lone", "lone"),
    ("a" * 200, "a" * NAME_MAX),
    ("Grüße, C# & co. 漢字", "Grüße, C# & co. 漢字"),
]


@pytest.mark.parametrize(("said", "shown"), NAMES)
def test_a_name_is_one_line_of_plain_text(said: str, shown: str) -> None:
    assert one_line(said) == shown
    assert one_line(one_line(said)) == one_line(said)


def test_names_are_cleaned_wherever_they_stand() -> None:
    said = [{"id": "1", "name": "<b>tax</b>\n2026", "owner": "nobody asked"}]
    assert cleaned(said, list[ProjectName]) == [{"id": "1", "name": "tax 2026"}]
    assert cleaned({"<i>a</i>": {"b\x00": "c\n"}}) == {"a": {"b": "c"}}


BAD = [
    ([1, 2], dict[str, NonNegativeInt]),
    ({"general": -1}, dict[str, NonNegativeInt]),
    ({"general": True}, dict[str, NonNegativeInt]),
    ({"general": "7"}, dict[str, NonNegativeInt]),
    ([{"id": "1"}], list[ProjectName]),
    (None, dict[str, NonNegativeInt]),
    ("x" * 70_000, None),
    (list(range(501)), None),
    ({str(number): 1 for number in range(501)}, None),
    ([[[[[1]]]]], None),
    (float("nan"), None),
    ({1, 2}, None),
]


@pytest.mark.parametrize(("value", "shape"), BAD)
def test_what_does_not_fit_is_refused(value: object, shape: object) -> None:
    with pytest.raises(BadSummary):
        cleaned(value, shape)
