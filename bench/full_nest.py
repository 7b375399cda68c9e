"""An installation that has much to show: a chain of many instances, open conflicts, entries that wait, calls on record.

Everything comes in by the doors that other machines' data comes in by; nothing is written past them.
"""

from __future__ import annotations

import random
import uuid
from pathlib import Path

from crow_hooks import REGISTRY, Column, Credentials, Entry, SyncedTable, Version
from crow_plugins.federation.audit import AUDIT
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.identity import certificate, keys
from crow_plugins.identity.certificate import Certificate
from crow_plugins.keyring import Keyring
from crow_plugins.store import WriteTransaction
from crow_plugins.store.synced import row_id_of

SEED = bytes(range(32))
NAMES = ("swan", "heron", "wren", "finch", "kestrel", "plover", "egret", "siskin", "dunlin", "avocet")
BATCH = 5_000
WORDS = [
    "the",
    "key",
    "is",
    "under",
    "a",
    "stone",
    "beside",
    "the",
    "old",
    "gate",
    "where",
    "ivy",
    "grows",
    "and",
    "nobody",
    "looks",
    "before",
    "noon",
]


def add_instances(host: Host, count: int, name: str | None = None) -> list[str]:
    """Have the registry hear of so many other machines of the chain, all called `name` if given; returns their ids."""
    chain, now = keys.chain_key(SEED), host.now()
    made = [_certificate(number, name, chain.public_key, now) for number in range(count)]
    heard = Credentials(tuple(certificate.issue(each, chain) for each in made), ())
    host.services.find("bench", REGISTRY).learn(heard)
    return [each.instance_id for each in made]


def add_conflicts(host: Host, table: str, count: int, writers: list[str], text: str | None = None) -> list[str]:
    """Rows that two other machines made without knowing of each other; returns the ids of the rows.

    Every field differs; `text` is what stands in those that take text.
    """
    shape = _table(host, table)
    chosen = random.Random(count)  # noqa: S311  # the same each time is what is wanted
    rows = []
    for number in range(count):
        one, other = (_row(shape, f"{table}-{number}", side, text, chosen, host.now()) for side in ("here", "there"))
        row_id = row_id_of(str(one[shape.natural_key])) if shape.natural_key else str(uuid.UUID(int=number + 1))
        with host.store.transaction() as transaction:
            for lamport, (writer, data) in enumerate(zip(writers, (one, other), strict=False), 2 * number + 1):
                _apply(transaction, shape, row_id, writer, lamport, data)
        rows.append(row_id)
    return rows


def add_deletion(host: Host, table: str, writers: list[str]) -> None:
    """A row that one machine changed while another deleted it."""
    shape = _table(host, table)
    chosen = random.Random(0)  # noqa: S311  # the same each time is what is wanted
    row_id = str(uuid.UUID(int=1 << 64))
    data = _row(shape, table, "here", None, chosen, host.now())
    with host.store.transaction() as transaction:
        _apply(transaction, shape, row_id, writers[0], 1, data)
        _apply(transaction, shape, row_id, writers[1], 2, data, deleted=True)


def add_calls(host: Host, count: int, peers: list[str]) -> None:
    """Calls on record, as many as there are after months."""
    audit = host.services.find("bench", AUDIT)
    chosen = random.Random(count)  # noqa: S311  # the same each time is what is wanted
    for number in range(count):
        denied = chosen.random() < 0.05
        audit.record(
            direction=chosen.choice(("inbound", "outbound")),
            peer=chosen.choice(peers),
            tool=chosen.choice(("crow_search", "crow_search_memories", "crow_get_memory")),
            arguments={"query": str(number)},
            decision="denied" if denied else "allowed",
            status="not_exposed" if denied else "ok",
            milliseconds=chosen.randint(1, 400),
        )
        if number % BATCH == BATCH - 1:
            audit.flush(60)
    audit.flush(60)


def _table(host: Host, name: str) -> SyncedTable:
    return next(each for _, each in host.contributions("register_synced_tables", SyncedTable) if each.name == name)


def _certificate(number: int, name: str | None, chain: bytes, now: int) -> Certificate:
    device = keys.device_keys(number.to_bytes(32))
    return Certificate(
        chain=chain,
        instance_id=str(uuid.UUID(int=0xC0 << 120 | number)),
        name=name or NAMES[number % len(NAMES)],
        role="satellite",
        instance_key=device.instance.public_key,
        noise_key=device.noise.public_key,
        feed_key=device.feed.public_key,
        serial=1,
        not_before=now,
    )


def _row(
    table: SyncedTable, key: str, side: str, text: str | None, chosen: random.Random, now: int
) -> dict[str, object]:
    """A row of which every field is filled, and differs between the sides wherever its kind lets it."""
    words = " ".join(chosen.choices(WORDS, k=12)) if text is None else text
    row = {column.name: _value(column, f"{side}: {words}", side == "here") for column in table.columns}
    row |= {column.name: now - 3600 for column in table.columns if column.name.endswith("_at")}
    if table.natural_key:
        row[table.natural_key] = key  # its plugin says what a key may be
    if "slug" in row:
        row |= {"slug": key, "status": "draft"}  # and so does the one that has slugs
    return row


def _value(column: Column, said: str, here: bool) -> object:
    """Something that the column takes; `said` as far as it has room."""
    room = min(column.bytes_max, 4096)
    in_json = said[: room // 2 - 4]  # quotes take two bytes there
    makes = {"text": said[:room], "integer": 5 + here, "real": 0.5 + here, "boolean": here, "json": [in_json]}
    return makes[column.kind]


def _apply(
    transaction: WriteTransaction,
    table: SyncedTable,
    row_id: str,
    writer: str,
    lamport: int,
    data: dict[str, object],
    *,
    deleted: bool = False,
) -> None:
    version = Version(f"{writer}.000000000000", lamport)
    kind = next(name for name in table.change_types if name.endswith("_delete") == deleted)
    now = transaction.now
    transaction.apply(Entry(kind, table.name, row_id, data, version, {}, (), now, writer, deleted=deleted))


def keyring_home(folder: Path, name: str, now: int) -> Path:
    """A home of the same chain."""
    home = folder / name
    make_private_folder(home)
    Keyring.create(home, name=name, role="home", now=now, seed=SEED)
    return home
