"""What an instance with keys of the chain may write and should not: nothing but its own feed is changed by it.

Every table of the victim and every file beside its database is compared before and after, not only where harm would be
expected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from crow_plugins import bearer
from crow_plugins.causality import LAMPORT_MAX, lamport_limit
from crow_plugins.federation.inbound import INBOUND
from crow_plugins.limits import DEPTH_MAX, ENTRY_BYTES_MAX, KEYS_MAX, STRING_BYTES_MAX
from crow_plugins.replicator.entry import rescued
from crow_plugins.store import WriteTransaction
from crow_plugins.store.synced import row_id_of
from crow_plugins.testing import Chain
from tests.replicator.hostile import EPOCH, MEMORY, ROW, Attack, as_block, changed, outside

SYNCED = {
    "memories": "memory",
    "projects": "project",
    "sources": "source",
    "notes": "note",
    "settings": "setting",
    "contacts": "contact",
    "posts": "blog",
}
HOSTILE = int(os.environ.get("CROW_HOSTILE", "250"))
BATCH = 10
STRANGER = "99999999-9999-4999-8999-999999999999"


@pytest.fixture(scope="module")
def made_up() -> list[dict[str, Any]]:
    """What Hypothesis makes up, before there are instances: their threads would draw random numbers beside it."""
    found: list[dict[str, Any]] = []

    @settings(max_examples=HOSTILE, phases=[Phase.generate])
    @given(twists())
    def collect(twist: dict[str, Any]) -> None:
        found.append(twist)

    collect()
    return found


@pytest.fixture(scope="module")
def attack(tmp_path_factory: pytest.TempPathFactory, made_up: list[dict[str, Any]]) -> Iterator[Attack]:
    """Swan has something of every kind to lose."""
    with Chain(tmp_path_factory.mktemp("chain")) as chain:
        swan, magpie = chain.add("swan"), chain.add("magpie")
        swan.call("crow_store_memory", content="the kettle is new")
        project = swan.call("crow_create_project", name="kettles")["id"]
        swan.call("crow_add_note", project_id=project, content="they whistle")
        swan.call("crow_add_source", project_id=project, title="On Kettles")
        swan.call("crow_add_contact", name="Ada")
        swan.call("crow_create_post", title="A kettle", content="It whistles.")
        for scope in ("shared", "local"):
            swan.call("crow_set_setting", key="theme.colour", value="green", scope=scope)
        with swan.host.transaction() as transaction:
            bearer.create(transaction.db, "assistant", now=transaction.now)
        swan.host.services.find("tests", INBOUND).exposure.expose("crow_get_note", magpie.id)
        chain.settle()
        yield Attack(chain, magpie, swan)


def nested(levels: int) -> dict[str, object]:
    value: object = 1
    for _ in range(levels - 1):
        value = [value]
    return {"x": value}


def corpus(attack: Attack) -> Iterator[tuple[str, str, bytes]]:
    """What each is, why it must be parked, and its bytes."""
    yield from other_tables(attack)
    yield from other_rows(attack)
    yield from impossible(attack)
    yield from unreadable(attack)
    yield from rescues(attack)


def other_tables(attack: Attack) -> Iterator[tuple[str, str, bytes]]:
    """Every table that swan has and no plugin gave to sync; with data that would fit it."""
    for (table,) in attack.swan.rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
        columns = [name for _, name, *_ in attack.swan.rows(f"PRAGMA table_info({table})")]
        if table not in SYNCED:
            fields = attack.entry(table=table, data=dict.fromkeys(columns, "x"))
            yield f"{table}, which does not sync", "unknown_table", as_block(fields)
            yield f"{table} by a memory's name", "unknown_table", as_block({**fields, "data": dict(MEMORY)})
    for table in ("wonders", "sqlite_master", "sqlite_schema", "main", "memories_", "x" * 64):
        yield f"no such table {table}", "unknown_table", as_block(attack.entry(table=table))
    names = ["memories; DROP TABLE memories", 'memories"', "main.memories", "MEMORIES", "", "memories\n", 1, None]
    for name in names:
        yield f"no name of a table: {name!r}", "malformed", as_block(attack.entry(table=name))


def other_rows(attack: Attack) -> Iterator[tuple[str, str, bytes]]:
    """Rows of a table that does sync, of another form than it declares."""
    for column in ("id", "number", "rowid", "lamport_ts", "trust", "content, importance", "x = 1; --"):
        yield f"one column more: {column}", "breaks_schema", as_block(attack.entry(data={**MEMORY, column: 1}))
    for column in MEMORY:
        data = {name: value for name, value in MEMORY.items() if name != column}
        yield f"without {column}", "breaks_schema", as_block(attack.entry(data=data))
        yield f"{column} by another name", "breaks_schema", as_block(attack.entry(data={**data, column.upper(): 1}))
    wrong: dict[str, list[object]] = {
        "content": [None, 5, True, [], {}, "nul\0", "half \ud800", "x" * (STRING_BYTES_MAX + 1)],
        "importance": ["5", 5.5, True, None, 2**53, -(2**53), 2**64, []],
        "tags": [None, "tag", 5, ["nul\0"], ["half \ud800"], ["x" * 70_000]],
        "context": [5, {}, "x" * 70_000],
        "created_at": ["now", None, 1.5],
    }
    for column, values in wrong.items():
        for value in values:
            fields = attack.entry(data={**MEMORY, column: value})
            yield f"{column} is {str(value)[:20]!r}", "breaks_schema", as_block(fields)
    for type in ("memory_wonder", "setting_update", "project_delete", "rescued_", "memory_insert_"):
        yield f"a change of type {type}", "breaks_schema", as_block(attack.entry(type=type))
    setting = {"key": "theme.colour", "value": ["red"], "updated_at": 1}
    for row_id in (ROW, row_id_of("other.key"), row_id_of("theme.colour").upper()):
        fields = attack.entry(table="settings", type="setting_update", row_id=row_id, data=setting)
        yield f"a setting under the id {row_id}", "breaks_schema", as_block(fields)
    for name in ("", " ", "x" * 129, "a\nb", "'; DROP TABLE memories", "é", 5, None):
        yield f"a row called {str(name)[:20]!r}", "malformed", as_block(attack.entry(row_id=name))


def impossible(attack: Attack) -> Iterator[tuple[str, str, bytes]]:
    """Names and times that no honest writer gives."""
    [(victim, lamport)] = attack.swan.rows(
        "SELECT name, lamport FROM writer_reach WHERE name LIKE ?", f"{attack.swan.id}%"
    )
    other = f"{STRANGER}.{EPOCH}"
    limit = lamport_limit(int(attack.swan.clock()))
    for number in (0, -1, -LAMPORT_MAX):
        yield f"lamport {number}", "impossible", as_block(attack.entry(number))
    for number in (limit + 1, LAMPORT_MAX, LAMPORT_MAX + 1, 2**64):
        yield f"lamport {number}", "lamport_ahead", as_block(attack.entry(number))
    for writer in (victim, other):
        for number in (0, -1, 100, 101, LAMPORT_MAX, 2**64):
            yield f"has seen {number} of {writer}", "impossible", as_block(attack.entry(vv={writer: number}))
            fields = attack.entry(vv={writer: 99}, open=[[writer, number]])
            yield f"leaves {number} of {writer} open", "impossible", as_block(fields)
        yield f"leaves open what it never saw of {writer}", "impossible", as_block(attack.entry(open=[[writer, 5]]))
        fields = attack.entry(vv={writer: 4}, open=[[writer, 5]])
        yield f"leaves open more than it saw of {writer}", "impossible", as_block(fields)
    for who in (attack.swan.id, STRANGER):
        yield f"in the name of {who}", "foreign_writer", as_block(attack.entry(instance_id=who))
    name = as_block(attack.entry(instance_id=attack.swan.id, epoch=victim.split(".")[1], lamport=lamport + 1))
    yield "in the very name of swan's next write", "foreign_writer", name


def unreadable(attack: Attack) -> Iterator[tuple[str, str, bytes]]:
    good = as_block(attack.entry())
    for what, block in {
        "nothing": b"",
        "no JSON": b"no JSON at all",
        "a list": b"[]",
        "null": b"null",
        "invalid UTF-8": good.replace(b"harmless", b"\xff\xfe"),
        "half a character in its bytes": good.replace(b"harmless", b"\xed\xa0\x80"),
        "a byte order mark": b"\xef\xbb\xbf" + good,
        "UTF-16": good.decode().encode("utf-16"),
        "a key twice": good.replace(b'"lamport":', b'"lamport":1,"lamport":'),
        "a table twice": good.replace(b'"table":', b'"table":"crow_instances","table":'),
        "a column twice": good.replace(b'"content":', b'"content":"","content":'),
        "NaN": good.replace(b'"importance":5', b'"importance":NaN'),
        "infinity": good.replace(b'"importance":5', b'"importance":-Infinity'),
        "a number of 5000 digits": good.replace(b'"importance":5', b'"importance":' + b"9" * 5000),
        "something after it": good + b"{}",
        "an end that is missing": good[:-1],
        "100,000 brackets": b"[" * 100_000,
        "100,000 brackets within": good.replace(b'"tags":[]', b'"tags":' + b"[" * 100_000),
        "a level too deep": as_block(attack.entry(data=nested(DEPTH_MAX + 1))),
        "a key too many": as_block(attack.entry(data={f"k{number}": 1 for number in range(KEYS_MAX + 1)})),
        "a byte too long": good[:-1] + b" " * (ENTRY_BYTES_MAX + 1 - len(good)) + b"}",
        "300 KiB": as_block(attack.entry(data={**MEMORY, "content": "x" * 300 * 1024})),
    }.items():
        yield what, "malformed", block
    for field in attack.entry():
        fields = attack.entry()
        del fields[field]
        yield f"without {field}", "malformed", as_block(fields)
    others: dict[str, Any] = {
        "more": 1,
        "v": 0,
        "data": [],
        "type": "a'b",
        "timestamp": "now",
        "epoch": EPOCH.upper(),
        "by": "x' OR 1",
        "lamport": "100",
        "vv": {"x'; DROP TABLE clock": 1},
        "open": [[f"{STRANGER}.{EPOCH}", 1.5]],
    }
    for field, value in others.items():
        yield f"{field} is {value!r}", "malformed", as_block(attack.entry(**{field: value}))
    yield "lamport is 1e999", "malformed", good.replace(b'"lamport":100', b'"lamport":1e999')
    yield "importance is 1e999", "breaks_schema", good.replace(b'"importance":5', b'"importance":1e999')
    yield "tags hold 1e999", "breaks_schema", good.replace(b'"tags":[]', b'"tags":[1e999]')
    yield "a format of the future", "newer_format", as_block(attack.entry(v=2))


def rescues(attack: Attack) -> Iterator[tuple[str, str, bytes]]:
    """Entries in an entry, as they stand when a feed was cut."""
    swans = as_block(attack.entry(instance_id=attack.swan.id, epoch="f" * 12))
    strangers = as_block(attack.entry(instance_id=STRANGER))
    yield "rescued by somebody else", "foreign_writer", rescued(swans, attack.swan.id, 1)
    yield "rescued from nobody known", "unknown_writer", rescued(strangers, attack.magpie.id, 1)
    yield "rescued twice", "malformed", rescued(rescued(swans, attack.magpie.id, 1), attack.magpie.id, 1)
    wrong: list[tuple[str, str, dict[str, Any]]] = [
        ("another table", "unknown_table", {"table": "crow_instances"}),
        ("a column more", "breaks_schema", {"data": {**MEMORY, "number": 1}}),
        ("a time ahead", "lamport_ahead", {"lamport": LAMPORT_MAX}),
        ("what cannot be", "impossible", {"vv": {f"{STRANGER}.{EPOCH}": 100}}),
        ("a field more", "malformed", {"more": 1}),
    ]
    for what, reason, fields in wrong:
        inner = as_block(attack.entry(instance_id=attack.swan.id, epoch="f" * 12, **fields))
        yield f"rescued with {what}", reason, rescued(inner, attack.magpie.id, 1)


def test_no_hostile_entry_changes_anything_but_the_feed_that_it_stands_in(attack: Attack) -> None:
    entries = list(corpus(attack))
    before, parked = attack.everything(), len(attack.parked())
    attack.send(*(block for _, _, block in entries))
    assert changed(before, attack.everything()) == {}
    found = attack.parked()[parked:]
    assert len(found) == len(entries)
    wrong = [(what, reason, why) for (what, why, _), reason in zip(entries, found, strict=True) if reason != why]
    assert wrong == []


def test_what_fits_changes_its_own_row_and_is_never_read_as_anything_else(attack: Attack) -> None:
    sly = "'; DROP TABLE memories; --"
    rows = ["');DELETE/**/FROM/**/crow_instances;--", '"', "%", "../../identity.json", "\\0", "rowid"]
    for row_id in rows:
        data = {**MEMORY, "content": sly, "category": sly, "tags": [sly], "project_id": sly, "origin_instance": sly}
        fields = attack.entry(next(attack.lamports), row_id=row_id, data=data, timestamp=2**80, by="x.-_")
        fields["vv"] = {f"{STRANGER}.{each:012x}": 999 for each in range(1000)}
        before, parked = attack.everything(), attack.parked()
        attack.send(as_block(fields))
        assert attack.parked() == parked
        found = changed(before, attack.everything())
        assert ("memories", row_id) in {(name, row[1]) for name, each in found.items() for row in each}
        assert outside(found, {("memories", row_id)}) == {}
        assert attack.swan.rows("SELECT content FROM memories WHERE id = ?", row_id) == [(sly,)]


# ---- entries that nobody thought of -------------------------------------------------------------

TOO_LONG = "a text that is too long"  # told by its name, so that an example can be shown
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["", "\0", "\ud800", "'", '"; --', "crow_instances", "clock", TOO_LONG]),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(0, 3), max_size=3),
)
WRITERS = ("swan", "magpie", "stranger")
FIELDS = ("type", "table", "row_id", "data", "lamport", "instance_id", "timestamp", "v", "epoch", "vv", "open", "by")


@st.composite
def twists(draw: st.DrawFn) -> dict[str, Any]:
    """What is changed in a good entry: its fields, columns of its data, the bytes it is written in."""
    columns = st.sampled_from([*MEMORY, "id", "lamport_ts", "number"])
    return {
        "table": draw(st.sampled_from([*SYNCED, "crow_instances", "local_settings", "row_versions"])),
        "verb": draw(st.sampled_from(["insert", "update", "delete", "wonder"])),
        "fields": draw(st.dictionaries(st.sampled_from(FIELDS), JUNK, max_size=1)),
        "data": draw(st.dictionaries(columns, JUNK, max_size=2)),
        "lamport": draw(st.sampled_from([None, None, None, 0, LAMPORT_MAX])),  # None: the next
        "vv": draw(
            st.dictionaries(st.sampled_from(["swan", "magpie", "stranger"]), st.integers(0, 1_000_050), max_size=2)
        ),
        "put": draw(st.tuples(st.integers(0, 400), st.binary(max_size=2), st.integers(0, 2))),
        "damaged": draw(st.integers(0, 3)) == 0,
    }


def twisted(attack: Attack, twist: dict[str, Any]) -> bytes:
    kind = SYNCED.get(twist["table"], "memory")
    writers = dict(zip(WRITERS, (attack.swan.id, attack.magpie.id, STRANGER), strict=True))
    fields = attack.entry(
        table=twist["table"],
        type=f"{kind}_{twist['verb']}",
        data=of_a_row(attack, twist["table"]) | twist["data"],
        lamport=next(attack.lamports) if twist["lamport"] is None else twist["lamport"],
        vv={f"{writers[who]}.{EPOCH}": lamport for who, lamport in twist["vv"].items()},
    )
    block = as_block({**fields, **twist["fields"]}).replace(TOO_LONG.encode(), b"x" * (STRING_BYTES_MAX + 1))
    place, put, cut = twist["put"]
    return block[:place] + put + block[place + cut :] if twist["damaged"] else block


def of_a_row(attack: Attack, table: str) -> dict[str, object]:
    """The columns of a table as they travel, with what swan has in them."""
    with attack.swan.host.transaction() as transaction:
        assert isinstance(transaction, WriteTransaction)
        shape = transaction.shape(table)
        if shape is None:
            return dict(MEMORY)
        [(row_id,)] = transaction.db.execute_sql(f"SELECT id FROM {table} LIMIT 1").fetchall()
        return shape.image(transaction.db, row_id)


def test_whatever_an_entry_says_it_changes_the_row_that_it_names_or_nothing(
    attack: Attack, made_up: list[dict[str, Any]]
) -> None:
    for start in range(0, len(made_up), BATCH):
        some = made_up[start : start + BATCH]
        blocks = [twisted(attack, twist) for twist in some]
        before, parked = attack.everything(), len(attack.parked())
        attack.send(*blocks)
        found = changed(before, attack.everything())
        rows = {(str(row[0]), str(row[1])) for row in found.get("feed_entries", ())}
        assert rows <= {named for named in map(row_named, blocks) if named is not None and named[0] in SYNCED}, some
        assert outside(found, rows) == {}, some
        if len(attack.parked()) - parked == len(blocks):
            assert found == {}, some


def row_named(block: bytes) -> tuple[str, str] | None:
    try:
        fields = json.loads(block)
        return str(fields["table"]), str(fields["row_id"])
    except (ValueError, LookupError, TypeError):
        return None


# ---- names that are given already; last, since a feed that takes one is frozen ------------------


def test_a_name_that_swan_gave_is_not_taken_and_the_feed_that_tries_is_frozen(attack: Attack) -> None:
    [(block,)] = attack.swan.rows(
        "SELECT value FROM feed_blocks JOIN feeds ON id = number << 40 WHERE instance_id = ?", attack.swan.id
    )
    forged = bytes(block).replace(b"the kettle is new", b"the kettle is old")
    assert forged != block
    before = attack.everything()
    attack.send(rescued(forged, attack.magpie.id, 1))
    assert attack.parked()[-1] == "dot_used_twice"
    assert changed(before, attack.everything()) == {}
    [(frozen,)] = attack.swan.rows("SELECT frozen FROM feeds WHERE instance_id = ?", attack.magpie.id)
    assert frozen == "one name for two writes"
