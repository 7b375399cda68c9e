"""What a peer may answer, and what is refused, as the vectors say it."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.feed.data_vectors import VECTORS, outcome

CASES = json.loads(VECTORS.read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_an_answer_is_taken_or_refused_by_name(case: dict[str, str]) -> None:
    assert outcome(bytes.fromhex(case["key"]), bytes.fromhex(case["payload"])) == case["expect"]


def test_there_are_vectors_of_every_kind() -> None:
    kinds = Counter(case["expect"] for case in CASES)
    for kind in ("ok", "bad_feed_signature", "bad_proof", "malformed", "over_limit"):
        assert kinds[kind] >= 5, kind
