"""The vectors of `tests/vectors/feed/data.json`: answers of a peer, as they should be and as they must not.

    python -m tests.feed.data_vectors      writes the file anew

Each is the payload of one `data` message, and what becomes of it at a copy that knows the feed's key and nothing else:
`ok`, or the code of the error. The proofs that npm's package made are those of `proofs.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from crow_plugins.feed import Feed, MemoryStorage, messages
from crow_plugins.feed.encoding import uint
from crow_plugins.feed.errors import RemoteProtocolError
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.limits import BLOCK_BYTES_MAX, MANIFEST_BYTES_MAX, NODES_MAX, SIGNATURE_BYTES_MAX, UINT_MAX
from crow_plugins.feed.messages import Data
from crow_plugins.feed.proof import BlockRequest, Proof, ProofRequest, UpgradeRequest
from tests.interop import npm

VECTORS = Path(__file__).parent.parent / "vectors" / "feed" / "data.json"
DATA = 3  # the type of the message
Case = tuple[str, bytes, str]


def outcome(key: bytes, payload: bytes) -> str:
    """What a copy that knows only the key makes of it."""
    try:
        message = messages.decode(DATA, payload)
        assert isinstance(message, Data)
        Feed(key, MemoryStorage()).receive(message.proof)
    except RemoteProtocolError as error:
        return error.code
    return "ok"


def written(proof: Proof) -> bytes:
    return messages.encode(Data(1, proof))[1]


def good(count: int, seq: int | None = None) -> Proof:
    """The whole head, its manifest, and a block under it."""
    block = None if seq is None else BlockRequest(seq, 0)
    return npm.ours(count).prove(ProofRequest(block, upgrade=UpgradeRequest(0, count), manifest=True))


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def upgraded(proof: Proof, **changes: Any) -> Proof:
    assert proof.upgrade is not None
    return replace(proof, upgrade=replace(proof.upgrade, **changes))


def valid() -> Iterator[Case]:
    for count, seq in [(1, 0), (2, 1), (3, 2), (23, 7), (64, 63)]:
        yield f"block {seq} of {count}, made by us", written(good(count, seq)), "ok"
    manifest = good(1).manifest
    proofs = [npm.into(case["proof"]) for case in json.loads(npm.VECTORS.read_text()) if "error" not in case["proof"]]
    whole = [proof for proof in proofs if proof.upgrade and proof.upgrade.start == 0]
    for number, proof in enumerate(whole[:8]):
        yield f"proof {number}, made by npm", written(replace(proof, manifest=manifest)), "ok"


def not_signed() -> Iterator[Case]:
    for count, seq in [(1, 0), (3, 2), (23, 7)]:
        proof = good(count, seq)
        assert proof.block is not None
        assert proof.upgrade is not None
        block, signature = proof.block, proof.upgrade.signature
        expect = "bad_feed_signature"
        changed = replace(proof, block=replace(block, value=flipped(block.value, 0)))
        yield f"a changed block of {count}", written(changed), expect
        yield (
            f"a longer block of {count}",
            written(replace(proof, block=replace(block, value=block.value + b"x"))),
            expect,
        )
        yield f"a changed signature of {count}", written(upgraded(proof, signature=flipped(signature, 9))), expect
        yield f"another fork of {count}", written(replace(proof, fork=1)), "out_of_date"
    proof = good(23)
    assert proof.upgrade is not None
    nodes = list(proof.upgrade.nodes)
    for place, node in enumerate(nodes):
        changed_nodes = [*nodes[:place], Node(node.index, node.size, flipped(node.hash, 31)), *nodes[place + 1 :]]
        yield f"the hash of root {place} changed", written(upgraded(proof, nodes=changed_nodes)), "bad_feed_signature"
        resized = [*nodes[:place], Node(node.index, node.size + 1, node.hash), *nodes[place + 1 :]]
        yield f"the size of root {place} changed", written(upgraded(proof, nodes=resized)), "bad_feed_signature"


def not_proven() -> Iterator[Case]:
    proof = good(23)
    assert proof.upgrade is not None
    nodes = list(proof.upgrade.nodes)
    yield "a root is missing", written(upgraded(proof, nodes=nodes[:-1])), "bad_proof"
    yield "a root comes twice", written(upgraded(proof, nodes=[*nodes, nodes[-1]])), "bad_proof"
    yield "the roots in the wrong order", written(upgraded(proof, nodes=nodes[::-1])), "bad_proof"
    yield "the roots of another length", written(upgraded(proof, length=22)), "bad_proof"
    yield "no roots at all", written(upgraded(proof, nodes=[])), "bad_proof"
    moved = [Node(nodes[0].index + 2, nodes[0].size, nodes[0].hash), *nodes[1:]]
    yield "a root under another index", written(upgraded(proof, nodes=moved)), "bad_proof"


def of_another_manifest() -> Iterator[Case]:
    proof = good(3)
    assert proof.manifest is not None
    for place in (1, 4, 6, 38, 69):
        yield (
            f"byte {place} of the manifest changed",
            written(replace(proof, manifest=flipped(proof.manifest, place))),
            ("unsupported_manifest" if place == 1 else "bad_manifest"),
        )


def no_message() -> Iterator[Case]:
    whole = written(good(23, 7))
    for length in (0, 1, 2, 5, 40, len(whole) // 2):
        yield f"ends after byte {length}", whole[:length], "malformed"
    yield "a number above 2^53 - 1", b"\x01\x01\x00\xff" + (UINT_MAX + 1).to_bytes(8, "little"), "over_limit"


def too_much() -> Iterator[Case]:
    head = uint(1) + uint(1) + uint(0) + uint(0)  # a block, of request 1, fork 0, seq 0
    yield "a block above its limit", head + uint(BLOCK_BYTES_MAX + 1), "over_limit"
    yield "too many nodes beside a block", head + uint(0) + uint(NODES_MAX + 1), "over_limit"
    upgrade = uint(8) + uint(1) + uint(0) + uint(0) + uint(5)
    yield "too many nodes of an upgrade", upgrade + uint(NODES_MAX + 1), "over_limit"
    yield "too many further nodes", upgrade + uint(0) + uint(NODES_MAX + 1), "over_limit"
    yield "a signature above its limit", upgrade + uint(0) + uint(0) + uint(SIGNATURE_BYTES_MAX + 1), "over_limit"
    yield "a manifest above its limit", uint(16) + uint(1) + uint(0) + bytes(MANIFEST_BYTES_MAX + 1), "over_limit"


def main() -> None:
    key = npm.ours(1).key.hex()
    made = [*valid(), *not_signed(), *not_proven(), *of_another_manifest(), *no_message(), *too_much()]
    cases = [{"name": name, "key": key, "payload": payload.hex(), "expect": expect} for name, payload, expect in made]
    for case in cases:
        got = outcome(bytes.fromhex(key), bytes.fromhex(case["payload"]))
        if got != case["expect"]:
            print(f"{case['name']}: {got}, and not {case['expect']}")
    VECTORS.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
