"""`crow_instances` and `revocations` as values: read, added to and changed within the caller's transaction."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import peewee

from crow_hooks import Instance, KnownInstance, Status
from crow_plugins.identity import revocation
from crow_plugins.identity.certificate import NAME_MAX, Certificate
from crow_plugins.identity.revocation import Statement

COLUMNS = (
    "id, name, role, gateway_url, instance_key, noise_key, feed_key, certificate, trust, hidden, status, last_seen, "
    "created_at"
)


@dataclass(frozen=True, slots=True)
class Contents:
    """All that the registry knew at one moment: the other instances by name, and the statements of revocation.

    `revoked` has the ids that the statements are about, also those of instances that were never known here.
    """

    generation: int
    others: tuple[KnownInstance, ...] = ()
    revocations: tuple[bytes, ...] = ()
    revoked: frozenset[str] = frozenset()


NOTHING = Contents(-1)


def generation(db: peewee.Database) -> int:
    return int(db.execute_sql("SELECT generation FROM registry_state WHERE id = 1").fetchone()[0])


def contents(db: peewee.Database) -> Contents:
    """What is known now; `db` must see one state of things throughout, as a read connection and a transaction do."""
    rows = db.execute_sql(f"SELECT {COLUMNS} FROM crow_instances ORDER BY name, id").fetchall()
    statements = db.execute_sql("SELECT statement, instance_id FROM revocations ORDER BY digest").fetchall()
    return Contents(
        generation(db),
        tuple(map(_instance, rows)),
        tuple(bytes(signed) for signed, _ in statements),
        frozenset(str(instance_id) for _, instance_id in statements),
    )


def by_id(db: peewee.Database, instance_id: str) -> KnownInstance | None:
    row = db.execute_sql(f"SELECT {COLUMNS} FROM crow_instances WHERE id = ?", (instance_id,)).fetchone()
    return None if row is None else _instance(row)


def add(db: peewee.Database, shown: Certificate, signed: bytes, name: str, gateway_url: str | None, now: int) -> None:
    """A new row; revoked from the start, where a revocation was heard before."""
    db.execute_sql(
        "INSERT INTO crow_instances (id, name, role, gateway_url, public_key, created_at, instance_key, noise_key, "
        "feed_key, certificate, trust) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
        "CASE WHEN EXISTS (SELECT 1 FROM revocations WHERE instance_id = ?1) THEN 'revoked' ELSE 'trusted' END)",
        (
            *(shown.instance_id, name, shown.role, gateway_url, shown.chain.hex(), now),
            *(shown.instance_key.hex(), shown.noise_key.hex(), shown.feed_key.hex(), signed.decode()),
        ),
    )


def renew(db: peewee.Database, shown: Certificate, signed: bytes) -> None:
    """A newer certificate of a known instance."""
    db.execute_sql(
        "UPDATE crow_instances SET role = ?, instance_key = ?, noise_key = ?, feed_key = ?, certificate = ? "
        "WHERE id = ?",
        (
            *(shown.role, shown.instance_key.hex(), shown.noise_key.hex(), shown.feed_key.hex()),
            *(signed.decode(), shown.instance_id),
        ),
    )


def change(db: peewee.Database, instance_id: str, **columns: object) -> None:
    """Set columns of a row, by names of ours."""
    settings = ", ".join(f"{name} = ?" for name in columns)
    db.execute_sql(f"UPDATE crow_instances SET {settings} WHERE id = ?", (*columns.values(), instance_id))


def keep_revocation(db: peewee.Database, statement: Statement, now: int) -> bool:
    """Add a statement to the set; whether it was added.

    The set has a bound for each instance, and is the same on all machines that heard the same statements.
    """
    revoked = statement.revocation.instance_id
    before = _statements_of(db, revoked, statement.revocation.chain)
    after = revocation.merge(before, [statement])
    if statement in before or statement not in after:
        return False
    for dropped in before - after:
        db.execute_sql("DELETE FROM revocations WHERE digest = ?", (_digest(dropped),))
    db.execute_sql("INSERT INTO revocations VALUES (?, ?, ?, ?)", (_digest(statement), revoked, statement.signed, now))
    db.execute_sql("UPDATE crow_instances SET trust = 'revoked' WHERE id = ? AND trust <> 'revoked'", (revoked,))
    return True


def _statements_of(db: peewee.Database, instance_id: str, chain: bytes) -> frozenset[Statement]:
    rows = db.execute_sql("SELECT statement FROM revocations WHERE instance_id = ?", (instance_id,)).fetchall()
    return frozenset(revocation.read(bytes(signed), chain) for (signed,) in rows)


def _digest(statement: Statement) -> bytes:
    return hashlib.sha256(statement.signed).digest()


def name_holder(db: peewee.Database, name: str) -> str | None:
    """The id of the instance that has a name here, hidden ones aside."""
    row = db.execute_sql("SELECT id FROM crow_instances WHERE name = ? AND hidden = 0", (name,)).fetchone()
    return None if row is None else str(row[0])


def free_name(db: peewee.Database, wanted: str, own_name: str) -> str:
    """The name, or with a number behind it: two machines may have been called the same."""
    name, number = wanted, 1
    while name == own_name or name_holder(db, name) is not None:
        number += 1
        suffix = f" ({number})"
        name = wanted[: NAME_MAX - len(suffix)].rstrip() + suffix
    return name


def _instance(row: tuple[object, ...]) -> KnownInstance:
    (id, name, role, url, instance_key, noise_key, feed_key, signed, trust, hidden, status, last_seen, created_at) = row
    statuses: dict[object, Status] = {"online": "online", "syncing": "syncing", "offline": "offline"}
    return KnownInstance(
        instance=Instance(str(id), str(name), "home" if role == "home" else "satellite"),
        gateway_url=None if url is None else str(url),
        instance_key=bytes.fromhex(str(instance_key)),
        noise_key=bytes.fromhex(str(noise_key)),
        feed_key=bytes.fromhex(str(feed_key)),
        certificate=str(signed).encode(),
        revoked=trust == "revoked",
        hidden=bool(hidden),
        status=statuses.get(status, "unknown"),
        last_seen=last_seen if isinstance(last_seen, int) else None,
        created_at=int(str(created_at)),
    )
