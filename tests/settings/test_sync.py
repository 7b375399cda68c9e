"""Settings that come from other machines, and what leaves this one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from crow_hooks import ConflictOpen, CrowError, Data, Entry, Invalid, Skipped, Version
from crow_plugins.host import Host
from crow_plugins.settings.interchange import BATCH, export, take
from crow_plugins.settings.settings import Settings
from crow_plugins.store.synced import row_id_of

SWAN = "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def settings(host: Host) -> Settings:
    return Settings(host.hook.handle("settings"))


def foreign(key: str, value: object, lamport: int, *, deleted: bool = False, row_id: str = "") -> Entry:
    """What the swan wrote without having seen anything."""
    return Entry(
        type="setting_delete" if deleted else "setting_update",
        table="settings",
        row_id=row_id or row_id_of(key),
        data={"key": key, "value": value, "updated_at": 5},
        version=Version(f"{SWAN}.000000000000", lamport),
        vv={},
        open=(),
        timestamp=5,
        instance_id=SWAN,
        deleted=deleted,
    )


def apply(host: Host, *entries: Entry) -> None:
    with host.store.transaction() as transaction:
        for entry in entries:
            transaction.apply(entry)


def conflicts(host: Host) -> list[str]:
    with host.read() as db:
        return [row[0] for row in db.execute_sql("SELECT row_id FROM sync_conflicts WHERE resolved = 0")]


def test_a_setting_from_another_machine_holds_here_and_says_who_set_it(host: Host, settings: Settings) -> None:
    apply(host, foreign("theme", ["dark"], 5))
    setting = settings.get("theme")
    assert (setting.value, setting.origin_instance, setting.lamport_ts) == ("dark", SWAN, 5)


def test_the_same_key_set_apart_is_one_row_and_one_conflict(host: Host, settings: Settings) -> None:
    settings.set("theme", "light", "shared")
    apply(host, foreign("theme", ["dark"], 5000))
    assert settings.get("theme").value == "dark"
    assert settings.list(prefix=None, scope=None, limit=10, cursor=None).total == 1
    assert conflicts(host) == [row_id_of("theme")]
    with pytest.raises(ConflictOpen):
        settings.delete("theme", "shared")


def test_the_same_value_set_apart_is_no_conflict(host: Host, settings: Settings) -> None:
    settings.set("theme", {"a": 1, "b": 2}, "shared")
    apply(host, foreign("theme", [{"b": 2, "a": 1}], 5000))
    assert conflicts(host) == []


def test_a_local_setting_stays_in_force_whatever_comes(host: Host, settings: Settings) -> None:
    settings.set("theme", "light", "local")
    apply(host, foreign("theme", ["dark"], 5))
    assert settings.get("theme").value == "light"


def test_a_delete_from_another_machine_removes_the_shared_setting_only(host: Host, settings: Settings) -> None:
    settings.set("theme", "light", "local")
    apply(host, foreign("theme", ["dark"], 5, deleted=True))
    assert [each.scope for each in settings.list(prefix=None, scope=None, limit=10, cursor=None).items] == ["local"]


@pytest.mark.parametrize(
    "entry",
    [
        foreign("theme", ["dark"], 5, row_id=row_id_of("other")),
        foreign("theme", [], 5),
        foreign("theme", ["a", "b"], 5),
        foreign("theme", {"value": 1}, 5),
        foreign("theme", [None], 5),
        foreign("Theme", ["dark"], 5),
        foreign("a..b", ["dark"], 5),
        foreign("theme", [2**60], 5),
    ],
    ids=["other id", "empty", "two", "object", "null", "capital", "dots", "number"],
)
def test_what_is_no_setting_is_refused_on_arrival(host: Host, settings: Settings, entry: Entry) -> None:
    with pytest.raises(CrowError):
        apply(host, entry)
    assert settings.list(prefix=None, scope=None, limit=10, cursor=None).total == 0


def test_a_merge_that_is_no_setting_is_refused(host: Host, settings: Settings) -> None:
    settings.set("theme", "light", "shared")
    with pytest.raises(Invalid, match="its one item"), host.transaction() as transaction:
        transaction.db.execute_sql("UPDATE settings SET value = '[1, 2]'")
        transaction.record("setting_update", "settings", row_id_of("theme"))
    assert settings.get("theme").value == "light"


def test_a_local_setting_leaves_no_trace_in_what_travels(host: Host, settings: Settings) -> None:
    settings.set("machine.door", "purple", "local")
    settings.set("machine.door", "green", "local")
    settings.delete("machine.door", "local")
    with host.read() as db:
        assert db.execute_sql("SELECT count(*) FROM row_versions").fetchone() == (0,)
        assert db.execute_sql("SELECT count(*) FROM feed_entries").fetchone() == (0,)


def test_what_is_exported_and_imported_elsewhere_is_the_same(
    make_home: Callable[[str], Path], open_host: Callable[..., Host]
) -> None:
    first, second = (
        open_host(make_home(name), now=lambda at=at: at).hook.handle("settings")
        for name, at in (("grackle", 1_800_000_000), ("swan", 1_800_000_060))
    )
    for key, value in {"a": 1, "b.c": {"d": [None]}, "e": "text"}.items():
        Settings(first).set(key, value, "shared")
    Settings(first).set("mine", 1, "local")
    records = list(export(first))
    assert [record["key"] for record in records] == ["a", "b.c", "e"]
    assert list(take(second, records, False)) == [None] * 3
    assert list(export(second)) == records
    assert [each.here for each in reasons(take(second, records, False))] == [True] * 3


def test_more_settings_than_one_batch_are_taken_and_told_whole(host: Host) -> None:
    crow = host.hook.handle("settings")
    records = [{"key": f"key.n{number:04}", "value": number} for number in range(BATCH + 1)]
    assert list(take(crow, records, False)) == [None] * len(records)
    assert [record["value"] for record in export(crow)] == list(range(BATCH + 1))


def test_the_same_local_value_again_leaves_its_time(home: Path, open_host: Callable[..., Host]) -> None:
    now = [1_800_000_000]
    settings = Settings(open_host(home, now=lambda: now[0]).hook.handle("settings"))
    first = settings.set("theme", "dark", "local")
    now[0] += 60
    assert settings.set("theme", "dark", "local") == first
    assert settings.set("theme", "light", "local").updated_at == 1_800_000_060


def test_an_import_names_what_it_leaves_out_and_overwrites_nothing(host: Host, settings: Settings) -> None:
    settings.set("theme", {"a": True, "b": 2}, "shared")
    records: list[Data] = [
        {"key": "theme", "value": {"a": 1, "b": 2}},
        {"key": "theme", "value": {"b": 2, "a": True}},
        {"key": "Bad", "value": 1},
        {"key": "empty"},
        {"key": "time", "value": 1, "updated_at": -1},
        {"key": "number", "value": float("nan")},
    ]
    told = reasons(take(host.hook.handle("settings"), records, False))
    assert [(each.position, each.here) for each in told] == [(n, n == 2) for n in range(1, 7)]
    assert [
        word in each.reason
        for word, each in zip(
            ["with another value", "here already", "a key is", "null is no value", "updated_at", "no way to write"],
            told,
            strict=True,
        )
    ] == [True] * 6
    assert json.dumps(settings.get("theme").value) == '{"a": true, "b": 2}'


def test_a_dry_run_changes_nothing(host: Host, settings: Settings) -> None:
    assert list(take(host.hook.handle("settings"), [{"key": "a", "value": 1}], True)) == [None]
    assert settings.list(prefix=None, scope=None, limit=1, cursor=None).total == 0


def reasons(results: Iterable[Skipped | None]) -> list[Skipped]:
    told = list(results)
    assert None not in told
    return [each for each in told if each is not None]
