"""BibTeX files in: a thousand entries as people's files have them, and each trait of such files alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import Data, Skipped
from crow_plugins.projects.bibtex import sources, text_of
from tests.gateway_process import crow

ENTRIES = 1000
ACCENTS = {r"M{\"u}ller": "Müller", r"Garc{\'\i}a": "García", r"{\O}stby": "Østby", r"Dvo{\v r}{\'a}k": "Dvořák"}
BROKEN_EVERY, TWICE_EVERY, UNTITLED_EVERY = 50, 125, 200


def entry(number: int) -> str:
    """One of a thousand: articles, papers that refer to their proceedings, books, pages; some of them broken."""
    name = list(ACCENTS)[number // 4 % len(ACCENTS)]
    if number % BROKEN_EVERY == 7:
        return f"@article{{broken{number}, title = {{never closed, author = {{{name}, A.}}, year = 2020\n"
    if number % TWICE_EVERY == 11:
        return f"@book{{key{number - 1}, title = {{Again {number}}}}}\n"
    if number % UNTITLED_EVERY == 13:
        return f"@misc{{key{number}, author = {{{name}, Anna}}, year = 2020}}\n"
    if number % 4 == 0:
        return (
            f"@article{{key{number}, title = {{The {{DNA}} of {{\\'e}}tude {number}: 50\\% \\& more}},\n"
            f"  author = {{{name}, Anna and de la Cruz, Jos\\'e}}, journal = jcorv, volume = {number},\n"
            f"  pages = {{{number}--{number + 9}}}, year = {1950 + number % 70}, month = mar, keywords = {{a, b}}}}\n"
        )
    if number % 4 == 1:
        return (
            f'@inproceedings{{key{number}, crossref = {{proc}}, title = "Paper {number}", author = "{name}, Anna"}}\n'
        )
    if number % 4 == 2:
        return f"@book{{key{number}, title={{Book {number}}}, editor={{{{Institute of Crows}}}}, publisher={{Nest}}}}\n"
    return f"@online{{key{number}, title={{Page {number}}}, url={{https://example.org/~a\\_b/{number}}}}}\n"


def expected_skips() -> dict[int, str]:
    """By the number of the entry, a word of the reason; the two entries before the thousand count too."""
    skips = {}
    for number in range(ENTRIES):
        if number % BROKEN_EVERY == 7:
            skips[number + 1] = "broken"
        elif number % TWICE_EVERY == 11:
            skips[number + 1] = f"key{number - 1} was used before"
        elif number % UNTITLED_EVERY == 13:
            skips[number + 1] = "title must not be empty"
    return skips


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "library.bib"
    head = '% a library\n@string{jcorv = "Journal of Corv" # "ids"}\n@comment{not an entry}\n'
    tail = "@proceedings{proc, title = {Proc. {ICC}}, year = 1999, publisher = {ACM}}\n"
    file.write_text(head + "".join(entry(number) for number in range(ENTRIES)) + tail)
    return file


def answer(home: Path, *arguments: str, code: int = 0) -> Any:
    done = crow(home, *arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def rows(exported: str) -> Iterator[Data]:
    return (json.loads(line) for line in exported.splitlines())


def test_a_thousand_entries_are_taken_and_the_broken_ones_told_of(
    file: Path, home: Path, make_home: Callable[[str], Path], tmp_path: Path
) -> None:
    skips = expected_skips()
    rehearsed = answer(home, "import", str(file), "--format", "bibtex", "--dry-run", code=1)
    assert crow(home, "export", "-").stdout == ""
    done = answer(home, "import", str(file), "--format", "bibtex", code=1)
    assert done == {**rehearsed, "dry_run": False}
    assert done["imported"] == ENTRIES + 1 - len(skips)
    assert {each["entry"] for each in done["skipped"]} == skips.keys()
    for each in done["skipped"]:
        assert skips[each["entry"]] in each["reason"]

    exported = tmp_path / "sources.jsonl"
    answer(home, "export", str(exported))
    by_key = {str(row["citation_key"]): row for row in rows(exported.read_text())}
    assert len(by_key) == done["imported"]
    article, paper, book, page = by_key["key400"], by_key["key401"], by_key["key402"], by_key["key403"]
    assert article["title"] == "The DNA of étude 400: 50% & more"
    assert (article["authors"], article["container"]) == (["Müller, Anna", "de la Cruz, José"], "Journal of Corvids")
    assert (article["date"], article["pages"], article["tags"]) == ("2000-03", "400-409", ["a", "b"])
    assert (paper["container"], paper["date"], paper["publisher"]) == ("Proc. ICC", "1999", "ACM")
    assert (book["editors"], book["source_kind"], page["url"]) == (
        ["Institute of Crows"],
        "book",
        "https://example.org/~a_b/403",
    )
    names = {str(author) for row in by_key.values() for author in row["authors"]}  # type: ignore[attr-defined]
    assert names == {*(f"{name}, Anna" for name in ACCENTS.values()), "de la Cruz, José"}

    again = answer(home, "import", str(file), "--format", "bibtex", code=1)
    assert (again["imported"], again["already_here"], again["skipped"]) == (0, done["imported"], done["skipped"])
    swan = make_home("swan")
    assert answer(swan, "import", str(exported))["imported"] == done["imported"]
    assert crow(swan, "export", "-").stdout == exported.read_text()


def one(text: str) -> Data:
    [record] = [record for record in sources(text) if not isinstance(record, Skipped)]
    return record


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        (
            "author = {Ludwig van Beethoven and King, Jr., Martin Luther}",
            ["van Beethoven, Ludwig", "King, Jr., Martin Luther"],
        ),
        ("author = {{Barnes and Noble, Inc.} and {\\'E}mile Zola}", ["Barnes and Noble Inc.", "Zola, Émile"]),
        ("author = {Plato}", ["Plato"]),
        ("author = {A, B, C, D, E and Good, Name}", ["A, B, C, D, E", "Good, Name"]),
    ],
)
def test_people_are_told_apart(fields: str, shown: list[str]) -> None:
    assert one(f"@misc{{a, title = {{x}}, {fields}}}")["authors"] == shown


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        ("year = 2024, month = dec", "date", "2024-12"),
        ("year = 2024, month = {Spring}", "date", "2024"),
        ("year = {c. 1999}", "date", None),
        ("date = {2024-03-05}", "date", "2024-03-05"),
        ("doi = {10.1000/a\\_b}", "doi", "10.1000/a_b"),
        ("howpublished = {\\url{https://example.org/a_b}}", "url", "https://example.org/a_b"),
        ("note = {see \\emph{there}}, issn = 1", "extra", "note: see there\nissn: 1"),
        ("isbn = {not one}, year = {in press}", "extra", "isbn: not one\nyear: in press"),
        ("journal = {A}, booktitle = {B}", "extra", "booktitle: B"),
        ("author = {A, B and others}", "extra", "authors: and others"),
        ('journal = "A " # {B} # jan', "container", "A Bjan"),
        ("crossref = {nowhere}", "extra", "crossref: nowhere"),
    ],
)
def test_a_field_becomes_one_of_a_source_or_stands_in_extra(fields: str, field: str, value: str | None) -> None:
    assert one(f"@misc{{a, title = {{x}}, {fields}}}").get(field) == value


def test_entries_that_refer_in_a_circle_are_taken_as_they_are() -> None:
    records = list(sources("@misc{a, title={x}, crossref={b}}\n@misc{b, title={y}, crossref={a}}"))
    assert [record["title"] for record in records if not isinstance(record, Skipped)] == ["x", "y"]


def test_keys_that_differ_in_case_only_are_two_entries_and_a_reference_finds_either() -> None:
    text = "@book{Crow, title={One}}\n@book{crow, title={Two}}\n@incollection{a, title={x}, crossref={CROW}}"
    one, two, part = (record for record in sources(text) if not isinstance(record, Skipped))
    assert (one["title"], two["title"]) == ("One", "Two")
    assert part["container"] == "Two"


def test_what_an_entry_has_for_itself_alone_is_not_inherited() -> None:
    text = "@proceedings{p, title={P}, key={zz}, issn={1}}\n@inproceedings{a, title={x}, crossref={p}}"
    whole, part = (record for record in sources(text) if not isinstance(record, Skipped))
    assert (whole["extra"], part["extra"]) == ("key: zz\nissn: 1", "issn: 1")


def test_an_old_file_is_read_as_latin_1() -> None:
    assert one(text_of("@book{a, title={Über Krähen}}".encode("latin-1")))["title"] == "Über Krähen"


def test_what_is_no_bibliography_has_no_entries() -> None:
    assert list(sources("# Notes\n\nmail@example.org said so\n")) == []


def test_an_unknown_format_names_the_nearest_and_a_file_that_is_not_there_is_told_of(home: Path) -> None:
    refused = crow(home, "import", "x.bib", "--format", "bibtx")
    assert (refused.returncode, "did you mean bibtex" in refused.stderr) == (1, True)
    refused = crow(home, "import", str(home / "none.bib"), "--format", "bibtex")
    assert (refused.returncode, "No such file" in refused.stderr) == (1, True)
    refused = crow(home, "import", str(home), "--format", "bibtex")
    assert (refused.returncode, f"{home} cannot be used: Is a directory" in refused.stderr) == (1, True)
    refused = crow(home, "import", str(home))
    assert (refused.returncode, "--format" in refused.stderr) == (1, True)
