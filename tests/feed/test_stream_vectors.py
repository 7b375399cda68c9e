"""What a caller may say on a connection, and what is refused, as the vectors say it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from tests.feed.stream_vectors import VECTORS, outcome
from tests.feed.talking import WAYS

CASES: list[dict[str, Any]] = json.loads(VECTORS.read_text())


@pytest.mark.parametrize("size", WAYS)
@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_connection_is_heard_or_refused_by_name_however_its_bytes_come(case: dict[str, Any], size: int) -> None:
    assert outcome(bytes.fromhex(case["received"]), size) == (case["expect"], case["heard"])


def test_there_are_vectors_of_every_kind() -> None:
    kinds = Counter(case["expect"] for case in CASES)
    for kind in ("ok", "handshake_failed", "not_authentic", "stream_cut", "malformed", "over_limit"):
        assert kinds[kind] >= 5, kind
