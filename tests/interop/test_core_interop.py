"""The npm Hypercore, as a real other process, and the feed: each checks what the other wrote, byte for byte."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from crow_plugins.feed import core, flat_tree, manifest
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import BadRequest, NotHeld, RemoteProtocolError
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.proof import (
    BlockProof,
    BlockRequest,
    HashProof,
    HashRequest,
    Proof,
    ProofRequest,
    SeekProof,
    SeekRequest,
    UpgradeProof,
    UpgradeRequest,
)
from crow_plugins.feed.storage import MemoryStorage
from tests.feed import making

HERE = Path(__file__).parent
SEED = bytes([7]) * 32
NODE = shutil.which("node")

pytestmark = pytest.mark.skipif(
    NODE is None or not (HERE / "node_modules" / "hypercore").is_dir(),
    reason="the npm Hypercore is not here: install Node.js, then run `npm install` in tests/interop",
)

Json = dict[str, Any]


def node(job: str, **arguments: object) -> Json:
    assert NODE is not None
    run = subprocess.run(
        [NODE, "core.mjs", job], cwd=HERE, input=json.dumps(arguments), capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stderr
    return cast("Json", json.loads(run.stdout))


def asked(request: ProofRequest) -> Json:
    return {
        "block": request.block and {"index": request.block.index, "nodes": request.block.nodes},
        "hash": request.hash and {"index": request.hash.index, "nodes": request.hash.nodes},
        "seek": request.seek and {"bytes": request.seek.bytes, "padding": request.seek.padding},
        "upgrade": request.upgrade and {"start": request.upgrade.start, "length": request.upgrade.length},
    }


def out_of(proof: Proof) -> Json:
    def nodes(listed: object) -> list[list[object]]:
        return [[index, size, hash.hex()] for index, size, hash in cast("list[Node]", listed)]

    block, hash, seek, upgrade = proof.block, proof.hash, proof.seek, proof.upgrade
    return {
        "fork": proof.fork,
        "block": block and {"index": block.index, "value": block.value.hex(), "nodes": nodes(block.nodes)},
        "hash": hash and {"index": hash.index, "nodes": nodes(hash.nodes)},
        "seek": seek and {"bytes": seek.bytes, "nodes": nodes(seek.nodes)},
        "upgrade": upgrade
        and {
            "start": upgrade.start,
            "length": upgrade.length,
            "nodes": nodes(upgrade.nodes),
            "additional_nodes": nodes(upgrade.additional_nodes),
            "signature": upgrade.signature.hex(),
        },
    }


def into(proof: Json) -> Proof:
    def nodes(listed: list[Any]) -> list[Node]:
        return [Node(index, size, bytes.fromhex(hash)) for index, size, hash in listed]

    block, hash, seek, upgrade = proof["block"], proof["hash"], proof["seek"], proof["upgrade"]
    return Proof(
        proof["fork"],
        block and BlockProof(block["index"], bytes.fromhex(block["value"]), nodes(block["nodes"])),
        hash and HashProof(hash["index"], nodes(hash["nodes"])),
        seek and SeekProof(seek["bytes"], nodes(seek["nodes"])),
        upgrade
        and UpgradeProof(
            upgrade["start"],
            upgrade["length"],
            nodes(upgrade["nodes"]),
            nodes(upgrade["additional_nodes"]),
            bytes.fromhex(upgrade["signature"]),
        ),
    )


@cache
def content(count: int) -> tuple[bytes, ...]:
    """Blocks without an empty one: where an empty block lies, the two answer a seek differently."""
    return tuple(b"block %d " % seq + b"x" * (seq * 7 % 300) for seq in range(count))


def theirs(count: int, requests: list[ProofRequest], **options: object) -> Json:
    half = count // 2
    batches = [[block.hex() for block in part] for part in (content(count)[:half], content(count)[half:]) if part]
    arguments = {"truncate": None, "compat": False, "seeks": [], **options}
    return node("write", seed=SEED.hex(), batches=batches, requests=list(map(asked, requests)), **arguments)


def ours(count: int, *, compat: bool = False) -> Feed:
    storage, public_key = MemoryStorage(), making.writer().public_key
    made = manifest.encode(manifest.default(public_key))
    feed = Feed(public_key, storage, made) if compat else core.created(public_key, storage)
    making.append(feed, list(content(count)))
    return feed


def some_requests(count: int, seed: int) -> list[ProofRequest]:
    """All kinds, and some that cannot be answered."""
    chosen = random.Random(seed)
    requests = [ProofRequest(upgrade=UpgradeRequest(0, count))]
    for _ in range(60):
        start = chosen.randrange(count)
        upgrade = UpgradeRequest(start, chosen.randint(1, count - start))
        block = BlockRequest(chosen.randrange(count), chosen.randint(0, 4))
        hash = HashRequest(chosen.randrange(2 * count), chosen.randint(0, 4))
        seek = SeekRequest(chosen.randrange(sum(map(len, content(count)))))
        requests += [
            ProofRequest(block=block),
            ProofRequest(hash=hash),
            ProofRequest(upgrade=upgrade),
            ProofRequest(block=block, upgrade=upgrade),
            ProofRequest(hash=hash, upgrade=upgrade),
            ProofRequest(seek=seek, upgrade=upgrade),
            ProofRequest(block=block, seek=seek),
            ProofRequest(hash=hash, seek=seek),
            ProofRequest(block=block, seek=seek, upgrade=upgrade),
        ]
    return requests


def npm_counts_right(request: ProofRequest, count: int) -> bool:
    """Beside a block or a hash, npm 11.37.1 finds a sought byte below the first root only: it adds up no numbers."""
    first_root = flat_tree.roots(count)[0]
    if request.seek is None or not (request.block or request.hash):
        return True
    index = 2 * request.block.index if request.block else request.hash.index if request.hash else 0
    return flat_tree.covers(first_root, index)


def answer(feed: Feed, request: ProofRequest) -> Json:
    try:
        return out_of(feed.prove(request))
    except (BadRequest, NotHeld):
        return {"error": "refused"}


@pytest.mark.parametrize("count", [1, 2, 3, 1000])
@pytest.mark.parametrize("compat", [False, True], ids=["manifest", "compat"])
def test_both_write_the_same_feed_byte_for_byte(count: int, compat: bool) -> None:
    offsets = [0, len(content(count)[0]) - 1, sum(map(len, content(count))) - 1]
    written, feed = theirs(count, [], compat=compat, seeks=offsets), ours(count, compat=compat)
    head = feed.head
    assert feed.manifest is not None
    assert {name: written[name] for name in ("fork", "length", "byte_length", "seeks")} == {
        "fork": head.fork,
        "length": head.length,
        "byte_length": head.byte_length,
        "seeks": [list(feed.seek(offset)) for offset in offsets],
    }
    assert written["key"] == feed.key.hex()
    assert written["discovery_key"] == feed.discovery_key.hex()
    assert written["manifest"] == manifest.encode(feed.manifest).hex()
    assert written["tree_hash"] == head.tree_hash.hex()
    assert written["signature"] == head.signature.hex()


@pytest.mark.parametrize("count", [1, 2, 3, 23, 64, 1000])
def test_both_answer_every_kind_of_request_with_the_same_proof(count: int) -> None:
    feed = ours(count)
    requests = [request for request in some_requests(count, seed=count) if npm_counts_right(request, count)]
    for request, proof in zip(requests, theirs(count, requests)["proofs"], strict=True):
        made = answer(feed, request)
        assert ("error" in made) if "error" in proof else (made == proof), request


@pytest.mark.parametrize("count", [1, 2, 3, 23, 1000])
def test_a_feed_that_npm_wrote_is_copied_and_verified(count: int) -> None:
    feed = ours(count)
    copy = making.copy_of(feed)
    upgrade = ProofRequest(upgrade=UpgradeRequest(0, count))
    requests = [ProofRequest(block=BlockRequest(seq, levels)) for seq, levels in levels_of(feed)]
    written = theirs(count, [upgrade, *requests])
    for proof in written["proofs"]:
        copy.storage.store(copy.receive(into(proof)))
    assert copy.head.signature.hex() == written["signature"]
    assert [copy.block(seq) for seq in range(count)] == list(content(count))


@pytest.mark.parametrize("count", [1, 2, 3, 23, 1000])
def test_npm_verifies_a_feed_that_we_wrote(count: int) -> None:
    feed = ours(count)
    upgrade = out_of(feed.prove(ProofRequest(upgrade=UpgradeRequest(0, count))))
    blocks = [out_of(Proof(0, block)) for block in feed.prove_blocks(levels_of(feed))]
    assert feed.manifest is not None
    proofs, encoded = [upgrade, *blocks], manifest.encode(feed.manifest).hex()
    checked = node("check", key=feed.key.hex(), manifest=encoded, proofs=proofs)
    assert set(checked["results"]) == {True}
    assert checked["tree_hash"] == feed.head.tree_hash.hex()
    assert checked["blocks"] == [block.hex() for block in content(count)]


def test_npm_refuses_a_changed_block_and_a_changed_signature_and_so_do_we() -> None:
    feed = ours(9)
    good = out_of(feed.prove(ProofRequest(BlockRequest(4, 0), upgrade=UpgradeRequest(0, 9))))
    wrong_block = {**good, "block": {**good["block"], "value": "00"}}
    wrong_signature = {**good, "upgrade": {**good["upgrade"], "signature": "0100" + "11" * 64 + "0000"}}
    assert feed.manifest is not None
    encoded = manifest.encode(feed.manifest).hex()
    proofs = [wrong_block, wrong_signature]
    for refused in node("check", key=feed.key.hex(), manifest=encoded, proofs=proofs)["results"]:
        assert refused == "INVALID_SIGNATURE"
    for proof in proofs:
        with pytest.raises(RemoteProtocolError, match="sign"):
            making.copy_of(feed).receive(into(proof))


def test_a_fork_of_npm_is_signed_and_cut_as_ours() -> None:
    written, feed = theirs(23, [ProofRequest(upgrade=UpgradeRequest(0, 12))], truncate=[12, 5]), ours(23)
    copy = making.replicated(feed)
    making.truncate(feed, 12, 5)
    assert written["signature"] == feed.head.signature.hex()
    found = copy.reorganise(into(written["proofs"][0]))
    copy.storage.store(found.batch)
    assert copy.head == feed.head
    assert found.ancestor == 12


def levels_of(feed: Feed) -> list[tuple[int, int]]:
    """All blocks in order, as one who has the roots asks for them."""
    copy = making.copy_of(feed)
    making.upgrade(feed, copy)
    return making.planned(copy, list(range(feed.head.length)))
