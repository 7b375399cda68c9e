"""One thing has one word: what the glossary rules out without exception is said nowhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
GLOSSARY = ROOT / "docs" / "glossary.md"

# Of the words we do not say, those that mean nothing else here; and the phrases in which one is somebody else's word.
RULED_OUT = {
    "master": ["master seed", "master-seed"],
    "slave": [],
    "cluster": [],
    "mesh": [],
    "snapshot": ["read snapshot"],
    "revision": [],
    "winner": [],
    "callback": [],
}


def texts() -> list[Path]:
    """What people read of ours: pages, and code with its comments, docstrings and SQL."""
    pages = [path for path in (ROOT / "docs").glob("*.md") if path != GLOSSARY]
    code = [path for folder in ("crow_plugins", "hooks") for path in (ROOT / folder).rglob("*.py")]
    return [*pages, ROOT / "README.md", ROOT / "hooks" / "README.md", *code]


def rows() -> list[tuple[str, str, str]]:
    cells = r"^\| ([^|]+) \| ([^|]+) \|(?: ([^|]*) )?\s*\|$"
    return [row for row in re.findall(cells, GLOSSARY.read_text(), flags=re.MULTILINE) if row[0] != "word"]


@pytest.mark.parametrize("word", RULED_OUT)
def test_no_word_that_is_ruled_out_is_said(word: str) -> None:
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            said = line.lower()
            for phrase in RULED_OUT[word]:
                said = said.replace(phrase, "")
            assert not re.search(rf"\b{word}s?\b", said), f"{path.relative_to(ROOT)}:{number} says {word}: {line}"


def test_what_is_ruled_out_stands_in_the_glossary() -> None:
    ruled_out = {word for _, _, instead in rows() for word in re.findall(r"\w+", instead)}
    assert set(RULED_OUT) <= ruled_out


def test_every_word_has_one_meaning() -> None:
    words = [word for word, _, _ in rows()]
    assert len(words) == len(set(words)) > 40
    assert all(meaning.strip() for _, meaning, _ in rows())


def test_the_words_of_the_contract_are_explained() -> None:
    """What crosses the borders between plugins is spoken of in words of the glossary."""
    words = " ".join(word for word, _, _ in rows()).lower()
    for name in (
        "instance",
        "version",
        "change",
        "entry",
        "conflict",
        "resolution",
        "synced table",
        "summary",
        "service",
    ):
        assert name in words
