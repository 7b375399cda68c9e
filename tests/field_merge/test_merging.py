"""Different fields changed on two machines are merged; one field changed twice is left to the operator."""

from __future__ import annotations

import pytest

from crow_hooks import Conflict, Data, Resolution, Version
from crow_plugins.field_merge.merging import merged

BASE: Data = {"content": "tea", "category": "drinks", "tags": ["hot"], "sure": 1, "updated_at": 1}


def conflict(local: Data, remote: Data) -> Conflict:
    return Conflict(
        id="c",
        table="memories",
        row_id="r",
        local={**BASE, "updated_at": 2, **local},
        local_version=Version("a", 2),
        local_deleted=False,
        remote={**BASE, "updated_at": 3, **remote},
        remote_version=Version("b", 2),
        remote_deleted=False,
    )


@pytest.mark.parametrize(
    ("local", "remote", "resolution"),
    [
        ({"content": "coffee"}, {"category": "breakfast"}, Resolution("merge", {"category": "breakfast"})),
        ({"content": "coffee"}, {"content": "coffee", "tags": []}, Resolution("merge", {"tags": []})),
        ({}, {"content": "coffee"}, Resolution("merge", {"content": "coffee"})),
        ({"content": "coffee"}, {}, Resolution("local")),
        ({"content": "coffee"}, {"content": "milk"}, None),
        ({"content": "coffee", "tags": []}, {"content": "milk", "category": "cold"}, None),
        ({"sure": True}, {"sure": 0}, None),
        ({"sure": True}, {"category": "cold"}, Resolution("merge", {"category": "cold"})),
    ],
)
def test_fields_of_both_sides_come_together_unless_both_changed_one(
    local: Data, remote: Data, resolution: Resolution | None
) -> None:
    assert merged(conflict(local, remote), BASE, {"updated_at"}) == resolution
