"""Evidence that a writer signed two feeds under one key: for one fork, two heads of which neither extends the other.

Each side is a proof from nothing: the roots at one common length, whatever leads from there to the length that was
signed, and the signature. Anybody who knows the feed's manifest can check it, and no honest writer can have made it,
restored backups apart; so it is a value to keep and to show, and not an error.
"""

from __future__ import annotations

from dataclasses import dataclass

from crow_plugins.feed import checking, flat_tree, hashing
from crow_plugins.feed.errors import BadProof
from crow_plugins.feed.head import Head
from crow_plugins.feed.manifest import Authority
from crow_plugins.feed.proof import Proof, ProofRequest, UpgradeRequest
from crow_plugins.feed.tree import Tree


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two proofs for one fork that cannot both be of one feed: the one held here, and the one that came."""

    fork: int
    length: int
    local: Proof
    remote: Proof

    @property
    def common(self) -> int:
        """How many blocks are shown to be in both: those below the roots that agree, and maybe more are."""
        assert self.local.upgrade is not None
        assert self.remote.upgrade is not None
        for ours, theirs in zip(self.local.upgrade.nodes, self.remote.upgrade.nodes, strict=True):
            if ours.hash != theirs.hash:
                return flat_tree.left_span(ours.index) // 2
        return self.length


def from_nothing(length: int) -> ProofRequest:
    """What to ask both sides for: the roots at a length that both have, and the signed head above."""
    return ProofRequest(upgrade=UpgradeRequest(0, length))


def signed_head(authority: Authority, proof: Proof) -> Head:
    """The head that a proof from nothing shows to be signed. Raises `BadProof`, `BadSignature`, `OverLimit`."""
    if proof.upgrade is None or proof.block or proof.hash or proof.seek:
        raise BadProof("it is no proof of a whole tree")
    tree = checking.upgrade(Tree(), proof.upgrade, None).tree
    signature = proof.upgrade.signature
    authority.verify(signature, tree.hash, tree.length, proof.fork)
    return Head(proof.fork, tree.length, tree.byte_length, tree.hash, signature)


def conflict(authority: Authority, local: Proof, remote: Proof) -> Conflict | None:
    """The evidence, if two proofs from nothing to one length contradict each other; None if they agree.

    Raises `BadProof`, `BadSignature`, `OverLimit` if either is not signed, or they do not compare.
    """
    signed_head(authority, local)
    signed_head(authority, remote)
    ours, theirs = local.upgrade, remote.upgrade
    assert ours is not None
    assert theirs is not None
    if local.fork != remote.fork or ours.length != theirs.length:
        raise BadProof("it is for another fork or length than ours")
    if hashing.tree_hash(ours.nodes) == hashing.tree_hash(theirs.nodes):
        return None
    return Conflict(local.fork, ours.length, local, remote)
