"""Citations: what the three styles make of sources of every kind, with whatever is known of them."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path

import pytest

from crow_plugins.projects.citing import STYLES, Citations
from crow_plugins.projects.source import KINDS, SOURCE, Source

SEED, EACH_KIND = 8, 6


def made(**fields: object) -> Source:
    """A source of which nothing is known but its title and these fields."""
    bare = {field.name: field.default for field in SOURCE.fields}
    kept = {"id": "1", "origin_instance": "1", "created_at": 1, "updated_at": 1, "lamport_ts": 1}
    return Source(**{**bare, **kept, "title": "The minds of crows", **fields})  # type: ignore[arg-type]  # they fit


EVERYTHING = {
    "date": "2024-03-05",
    "publisher": "Springer",
    "container": "Nature",
    "volume": "12",
    "issue": "3",
    "pages": "321-328",
    "edition": "2",
    "doi": "10.1000/182",
    "isbn": "9783161484100",
    "url": "https://example.org/a?b=1&c=<2>",
    "accessed": "2025-01",
}
ANNA, JOSE = "Müller, Anna", "de la Cruz, José"

CASES = {
    "a book": (
        made(kind="book", authors=(ANNA,), date="2024", publisher="Springer", edition="2"),
        "Müller, A. (2024). The minds of crows (2nd ed.). Springer.",
        "Müller, Anna. The Minds of Crows. 2nd ed., Springer, 2024.",
        "Müller, Anna. 2024. The Minds of Crows. 2nd ed. Springer.",
    ),
    "an article": (
        made(kind="article", authors=(ANNA, JOSE), date="2024", container="Nature", volume="12", pages="321-328"),
        "Müller, A., & de la Cruz, J. (2024). The minds of crows. Nature, 12, 321–328.",
        "Müller, Anna, and José de la Cruz. “The Minds of Crows.” Nature, vol. 12, 2024, pp. 321–328.",
        "Müller, Anna, and José de la Cruz. 2024. “The Minds of Crows.” Nature 12: 321–328.",
    ),
    "a book of an editor": (
        made(kind="book", editors=(ANNA,), date="2024", publisher="Springer"),
        "Müller, A. (Ed.). (2024). The minds of crows. Springer.",
        "Müller, Anna, editor. The Minds of Crows. Springer, 2024.",
        "Müller, Anna, ed. 2024. The Minds of Crows. Springer.",
    ),
    "a book of two editors": (
        made(kind="book", editors=(ANNA, JOSE), date="2024"),
        "Müller, A., & de la Cruz, J. (Eds.). (2024). The minds of crows.",
        "Müller, Anna, and José de la Cruz, editors. The Minds of Crows. 2024.",
        "Müller, Anna, and José de la Cruz, eds. 2024. The Minds of Crows.",
    ),
    "a page of nobody": (
        made(kind="web", url="https://example.org/x"),
        "The minds of crows. (n.d.). Retrieved https://example.org/x",
        "The Minds of Crows. https://example.org/x.",
        "“The Minds of Crows.” n.d. https://example.org/x.",
    ),
    "a question of an organisation": (
        made(kind="report", title="Why crows?", authors=("World Health Organization",), date="2024"),
        "World Health Organization. (2024). Why crows?",
        "World Health Organization. Why Crows? 2024.",
        "World Health Organization. 2024. Why Crows?",
    ),
}


@pytest.fixture(scope="module")
def citations() -> Citations:
    return Citations()


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_source_is_cited_as_its_style_wants_it(citations: Citations, case: tuple[Source, str, str, str]) -> None:
    source, apa, mla, chicago = case
    assert citations.of(source) == {"apa": apa, "mla": mla, "chicago": chicago}


def test_whatever_is_known_of_a_source_it_can_be_cited(citations: Citations) -> None:
    rng = random.Random(SEED)
    for kind in KINDS:
        for _ in range(EACH_KIND):
            known = {name: value for name, value in EVERYTHING.items() if rng.random() < 0.5}
            authors = rng.choice([(), (ANNA,), ("WHO",), (ANNA, JOSE, "King, Jr., Martin") * 8])
            source = made(kind=kind, authors=authors, editors=rng.choice([(), (JOSE,)]), **known)
            for style in STYLES:
                cited = citations.cite(source, style)
                assert "minds of crows" in cited.lower(), (SEED, source)


@pytest.mark.parametrize("style", STYLES)
def test_what_another_machine_stored_is_cited_too(citations: Citations, style: str) -> None:
    """Rows that travel are held to types and sizes only."""
    odd = made(kind="scroll", date="some time", accessed="2024-99", authors=(",", ", a", "a,,b", "  "))
    assert "minds of crows" in citations.cite(odd, style).lower()
    assert citations.cite(made(authors=("<b>bold</b>",), title="<script>"), style)


def test_the_page_shows_citations_as_they_are(citations: Citations) -> None:
    """The source of the page's second example is cited in its table."""
    page = (Path(__file__).parent.parent.parent / "docs" / "projects.md").read_text()
    said = [json.loads(text) for text in re.findall(r"```json\n(.*?)```", page, re.DOTALL)]
    [source] = [each for each in said if "authors" in each]
    shown = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    assert {style: shown[style] for style in STYLES} == citations.of(made(**{**source, "project_id": None}))
