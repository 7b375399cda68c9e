"""Revocation: the chain says that it no longer trusts an instance, and which part of what it wrote still counts.

    {"revocation":{"v":1,"chain":hex,"instance_id":uuid,"serial":n,"feed":{"fork":n,"length":n,"tree_hash":hex},
                   "upto":{epoch:lamport,…},"issued_at":unix seconds},"signature":hex}

in canonical JSON, signed by the chain key for the purpose `revocation`. `feed` names the branch that counts by its
first `length` blocks; `upto` says, for each epoch the instance wrote in, the last lamport that counts where another
instance rescued an entry. `serial` is that of the newest certificate known to whoever revoked: all certificates of the
instance end, the later ones too, and a machine that comes back joins under a new id. `issued_at` is for people.

Statements form a set that only grows and is merged by union, so instances that heard the same agree, in whatever order
they heard it. Of several statements about one instance the shortest branch counts, then the lower tree hash, then the
lower bytes: a choice that all make alike. Nothing here knows a feed; which blocks lie in a branch is told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from crow_plugins.identity import canonical_json, signing
from crow_plugins.identity.errors import (
    BadJson,
    BadSignature,
    RevocationForeign,
    RevocationForged,
    RevocationMalformed,
    RevocationNewer,
    RevocationTooLarge,
)
from crow_plugins.identity.keys import PUBLIC_KEY_BYTES, SIGNATURE_BYTES, KeyPair, check_public_key
from crow_plugins.identity.reading import Reader

VERSION = 1
PURPOSE = "revocation"
HASH_BYTES = 32
EPOCHS_MAX = 8192  # one a start of the machine: three a day for seven years
SIZE_MAX = 272 << 10  # so many epochs of 32 bytes each, and the rest
# Union with a bound: the least of a union are the same in whatever order it is made, and the first always among them.
STATEMENTS_PER_INSTANCE_MAX = 8

_EPOCH = re.compile(r"[0-9a-f]{12}", re.ASCII)


_READ = Reader(VERSION, RevocationMalformed, RevocationNewer)


@dataclass(frozen=True, slots=True)
class Branch:
    """The first `length` blocks of a feed, known by the hash of their tree."""

    fork: int
    length: int
    tree_hash: bytes


@dataclass(frozen=True, slots=True)
class Revocation:
    """This instance is of the chain no more; what lies in `feed`, or was rescued within `upto`, still counts."""

    chain: bytes
    instance_id: str
    serial: int
    feed: Branch
    upto: Mapping[str, int]
    issued_at: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A revocation and the bytes that travel; two of the same bytes are one."""

    signed: bytes
    revocation: Revocation = field(compare=False)


@dataclass(frozen=True, slots=True)
class Held:
    """Where an entry of a revoked instance is held.

    `seq` is its place in its writer's own feed, None when it does not lie in the branch that the revocation names;
    `rescued_by` are the instances in whose feeds it stands as a rescued entry.
    """

    epoch: str
    lamport: int
    seq: int | None = None
    rescued_by: Collection[str] = ()


def issue(revocation: Revocation, chain: KeyPair) -> Statement:
    """Sign a revocation. Raises as `read` where it names another chain or a field cannot stand in it."""
    body = _encoded(_fields(revocation))
    signature = signing.sign(chain, PURPOSE, chain.public_key.hex(), body)
    signed = b'{"revocation":' + body + b',"signature":"' + signature.hex().encode() + b'"}'
    return read(signed, chain.public_key)  # what was signed can be read


def read(signed: bytes, chain_public_key: bytes) -> Statement:
    """A revocation of our chain, from the bytes that came.

    Raises `RevocationTooLarge`, `RevocationMalformed`, `RevocationNewer`, `DegenerateKey`, `RevocationForeign` or
    `RevocationForged`.
    """
    if len(signed) > SIZE_MAX:
        raise RevocationTooLarge(SIZE_MAX)
    body, signature = _parted(signed)
    revocation = _revocation(body)
    if revocation.chain != chain_public_key:
        raise RevocationForeign
    try:
        signing.verify(chain_public_key, PURPOSE, chain_public_key.hex(), _encoded(body), signature)
    except BadSignature as error:
        raise RevocationForged from error
    return Statement(signed, revocation)


def merge(*sets: Iterable[Statement]) -> frozenset[Statement]:
    """The union, of each instance at most the `STATEMENTS_PER_INSTANCE_MAX` that come first."""
    by_instance: dict[str, set[Statement]] = {}
    for statement in (statement for statements in sets for statement in statements):
        by_instance.setdefault(statement.revocation.instance_id, set()).add(statement)
    return frozenset(
        statement
        for statements in by_instance.values()
        for statement in sorted(statements, key=_rank)[:STATEMENTS_PER_INSTANCE_MAX]
    )


def effective(statements: Iterable[Statement]) -> dict[str, Revocation]:
    """Of each revoked instance, by id, the one revocation that counts."""
    chosen: dict[str, Statement] = {}
    for statement in statements:
        known = chosen.setdefault(statement.revocation.instance_id, statement)
        chosen[statement.revocation.instance_id] = min(known, statement, key=_rank)
    return {instance_id: statement.revocation for instance_id, statement in chosen.items()}


def counts(held: Held, revocation: Revocation, revoked: Collection[str]) -> bool:
    """Whether an entry of a revoked writer still counts; `revoked` are the ids of all revoked instances.

    It does when it lies in the branch below its length, or when an instance that is still trusted rescued it and its
    lamport is within `upto` of its epoch.
    """
    if held.seq is not None and held.seq < revocation.feed.length:
        return True
    within = held.lamport <= revocation.upto.get(held.epoch, 0)
    return within and any(_trusted(rescuer, revocation, revoked) for rescuer in held.rescued_by)


def _trusted(rescuer: str, revocation: Revocation, revoked: Collection[str]) -> bool:
    return rescuer != revocation.instance_id and rescuer not in revoked


def _rank(statement: Statement) -> tuple[int, bytes, bytes]:
    branch = statement.revocation.feed
    return branch.length, branch.tree_hash, statement.signed


def _fields(revocation: Revocation) -> dict[str, object]:
    branch = revocation.feed
    return {
        "v": VERSION,
        "chain": revocation.chain.hex(),
        "instance_id": revocation.instance_id,
        "serial": revocation.serial,
        "feed": {"fork": branch.fork, "length": branch.length, "tree_hash": branch.tree_hash.hex()},
        "upto": dict(revocation.upto),
        "issued_at": revocation.issued_at,
    }


def _encoded(fields: Mapping[str, object]) -> bytes:
    try:
        return canonical_json.encode(dict(fields))
    except BadJson as error:
        raise RevocationMalformed("it holds a value that cannot stand in one") from error


def _parted(signed: bytes) -> tuple[dict[str, object], bytes]:
    """The signed object and its signature. Only canonical bytes pass, so its encoding is what was signed."""
    try:
        value = canonical_json.parse_canonical(signed, SIZE_MAX)
    except BadJson as error:
        raise RevocationMalformed("its JSON is not canonical") from error
    match value:
        case {"revocation": dict(body), "signature": signature, **more} if not more:
            return body, _READ.hex(signature, SIGNATURE_BYTES, "signature")
    raise RevocationMalformed("it is not a revocation with its signature")


def _revocation(fields: Mapping[str, object]) -> Revocation:
    if _number(fields.get("v"), 1, "v") > VERSION:
        raise RevocationNewer
    match fields:
        case {
            "v": _,
            "chain": chain,
            "instance_id": instance_id,
            "serial": serial,
            "feed": feed,
            "upto": upto,
            "issued_at": issued_at,
            **more,
        } if not more:
            return Revocation(
                chain=_chain(chain),
                instance_id=_READ.instance_id(instance_id),
                serial=_number(serial, 1, "serial"),
                feed=_branch(feed),
                upto=_upto(upto),
                issued_at=_number(issued_at, 1, "issued_at"),
            )
    raise RevocationMalformed("a field is missing or unknown")


def _chain(value: object) -> bytes:
    key = _READ.hex(value, PUBLIC_KEY_BYTES, "chain")
    check_public_key(key, "chain")
    return key


def _branch(value: object) -> Branch:
    match value:
        case {"fork": fork, "length": length, "tree_hash": tree_hash, **more} if not more:
            return Branch(
                _number(fork, 0, "fork"), _number(length, 0, "length"), _READ.hex(tree_hash, HASH_BYTES, "tree_hash")
            )
    raise RevocationMalformed("feed is not fork, length and tree_hash")


def _upto(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > EPOCHS_MAX:
        raise RevocationMalformed(f"upto is not an object of at most {EPOCHS_MAX} epochs")
    if not all(_EPOCH.fullmatch(epoch) for epoch in value):
        raise RevocationMalformed("an epoch in upto is not 12 hex digits")
    return {epoch: _number(lamport, 1, "a lamport in upto") for epoch, lamport in value.items()}


def _number(value: object, least: int, which: str) -> int:
    if type(value) is not int or value < least:
        raise RevocationMalformed(f"{which} is not a whole number of {least} or more")
    return value
