"""One ranking over all kinds, the same on every machine, whatever the order in which its rows came."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from crow_hooks import Data, Format, SearchKind
from crow_plugins.everything import Hit, search_everything
from crow_plugins.host import Host

SEED, ROWS = 8, 120
TIMES = (1_700_000_000, 1_700_000_000, 1_710_000_000)  # most rows are told apart by their ids only
QUERIES = ("crow", "raven", "nest", "memory", "crow raven", "nest memory crow", "cro")
WORDS = ("crow", "raven", "nest", "memory")
KINDS: dict[str, Callable[[str], dict[str, object]]] = {
    "memory": lambda text: {"content": text},
    "project": lambda text: {"name": text},
    "source": lambda text: {"title": text, "authors": ["Crow, Ada"]},
    "note": lambda text: {"content": text, "title": "a nest"},
}


def rows() -> list[Data]:
    rng = random.Random(SEED)
    return [
        {
            "kind": kind,
            "id": f"00000000-0000-4000-8000-{rng.getrandbits(48):012x}",
            "updated_at": rng.choice(TIMES),
            "created_at": 1_700_000_000,
            **fields(" ".join(rng.choices(WORDS, k=2))),
        }
        for number in range(ROWS)
        for kind, fields in [list(KINDS.items())[number % len(KINDS)]]
    ]


def keep(host: Host, given: Sequence[Data]) -> None:
    formats = {kind: each for _, each in host.contributions("register_formats", Format) for kind in each.kinds}
    for row in given:
        assert list(formats[str(row["kind"])].read([row], False)) == [None]


def test_equal_rows_give_equal_answers_whatever_their_order(
    make_home: Callable[[str], Path], open_host: Callable[..., Host]
) -> None:
    grackle, swan = (open_host(make_home(name)) for name in ("grackle", "swan"))
    given = rows()
    keep(grackle, given)
    keep(swan, random.Random(SEED).sample(given, len(given)))
    for query in QUERIES:
        answers = [search_everything(host, query, None, 40).items for host in (grackle, swan)]
        assert [told(hit) for hit in answers[0]] == [told(hit) for hit in answers[1]], query
        assert {hit.kind for hit in answers[0]} == set(KINDS), query
        assert ranks(grackle, query) == ranks(swan, query)


def told(hit: Hit) -> tuple[str, str, str, str, int]:
    return hit.kind, hit.id, hit.title, hit.snippet, hit.updated_at


def ranks(host: Host, query: str) -> list[tuple[str, str]]:
    """Of each kind alone, in order, down to its last row."""
    kinds = [kind for _, kind in host.contributions("register_search", SearchKind)]
    with host.read() as db:
        return [(hit.kind, hit.id) for kind in kinds for hit in kind.find(db, query, ROWS)]
