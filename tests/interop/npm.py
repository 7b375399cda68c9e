"""The npm Hypercore as a peer: asked by JSON, one process a question; and the same questions put to our own feed.

Run as a program it writes the proofs that the tests compare with where Node.js is not installed.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, cast

from crow_plugins.feed import core, flat_tree, manifest
from crow_plugins.feed.core import Feed
from crow_plugins.feed.errors import BadRequest, NotHeld
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
VECTORS = HERE.parent / "vectors" / "feed" / "proofs.json"
VECTORS_COUNT = 23  # blocks: the roots have four sizes
SEED = bytes([7]) * 32
NODE = shutil.which("node")
HERE_TOO = NODE is not None and (HERE / "node_modules" / "hypercore").is_dir()

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


def request_of(asked: Json) -> ProofRequest:
    block, hash, seek, upgrade = asked["block"], asked["hash"], asked["seek"], asked["upgrade"]
    return ProofRequest(
        block and BlockRequest(**block),
        hash and HashRequest(**hash),
        seek and SeekRequest(**seek),
        upgrade and UpgradeRequest(**upgrade),
    )


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


def some_requests(count: int, seed: int, rounds: int = 60) -> list[ProofRequest]:
    """All kinds, and some that cannot be answered."""
    chosen = random.Random(seed)
    requests = [ProofRequest(upgrade=UpgradeRequest(0, count))]
    for _ in range(rounds):
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


def main() -> None:
    requests = [
        request for request in some_requests(VECTORS_COUNT, 5, rounds=14) if npm_counts_right(request, VECTORS_COUNT)
    ]
    proofs = theirs(VECTORS_COUNT, requests)["proofs"]
    cases = [{"request": asked(request), "proof": proof} for request, proof in zip(requests, proofs, strict=True)]
    VECTORS.write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
