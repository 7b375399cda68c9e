"""A feed: appended to and signed by its writer, copied and checked by everybody else.

Every call reads the head from the storage, works out what would change, and gives it back as one `Batch` to store;
nothing is stored, sent or believed in between. So a transaction that rolls back leaves no trace here: the only thing
kept is the tree of the last head, which is a function of that head. No clock, no randomness, no I/O but the storage's.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from crow_plugins.feed import bulk, checking, conflict, encoding, flat_tree, hashing, manifest, proving
from crow_plugins.feed import tree as trees
from crow_plugins.feed.bulk import Checked
from crow_plugins.feed.conflict import Conflict
from crow_plugins.feed.errors import (
    BadProof,
    BadRequest,
    BlockTooLarge,
    FeedFull,
    ForkTooLow,
    NotHeld,
    OutOfDate,
    OverLimit,
    StorageDamaged,
    Unanchored,
)
from crow_plugins.feed.hashing import Node
from crow_plugins.feed.head import Head, Prefix
from crow_plugins.feed.limits import (
    APPEND_BLOCKS_MAX,
    BLOCK_BYTES_MAX,
    BYTE_LENGTH_MAX,
    FORK_MAX,
    LENGTH_MAX,
    NODES_MAX,
)
from crow_plugins.feed.manifest import Authority, Manifest, Sign
from crow_plugins.feed.proof import BlockProof, Proof, ProofRequest
from crow_plugins.feed.reorganisation import Reorganisation
from crow_plugins.feed.storage import Batch, Storage
from crow_plugins.feed.tree import Tree


@dataclass(frozen=True, slots=True)
class Writer:
    """Who signs a feed: its public key of 32 bytes, and Ed25519 over a message that only a feed makes."""

    public_key: bytes
    sign: Sign


@dataclass(frozen=True, slots=True)
class Received:
    """What to store of many blocks, and those whose paths end at nodes that are not here yet."""

    batch: Batch
    waiting: tuple[BlockProof, ...]


class Feed:
    """One feed over one storage. Give the manifest if it is known; a copy learns it from a peer."""

    def __init__(
        self, key: bytes, storage: Storage, encoded_manifest: bytes | None = None, prefix: Prefix | None = None
    ) -> None:
        """`key` is the feed's 32 bytes; `prefix` is what it must begin with, if that is decided.

        Raises `BadManifest` if a manifest, given or stored, is not of this key.
        """
        self.key = encoding.fixed32(key)
        self.storage = storage
        self.prefix = prefix
        self._authority: Authority | None = None
        self._tree: tuple[Head, Tree] | None = None
        if encoded_manifest is not None:
            self._authority = manifest.authority(key, encoded_manifest)
        self._known()

    # --- what is known ---

    @property
    def discovery_key(self) -> bytes:
        return hashing.discovery_key(self.key)

    @property
    def head(self) -> Head:
        return self.storage.head()

    @property
    def manifest(self) -> Manifest | None:
        """None as long as no peer has told it."""
        known = self._known()
        return None if known is None else known.manifest

    @property
    def encoded_manifest(self) -> bytes | None:
        """The same in bytes, as peers are told it and as the key is the hash of."""
        known = self.manifest
        return None if known is None else manifest.encode(known)

    def tree(self) -> Tree:
        """The roots under the head. Raises `StorageDamaged` if they are not there, or not those."""
        return self._tree_under(self.head)

    def _tree_under(self, head: Head) -> Tree:
        if self._tree is None or self._tree[0] != head:
            tree = self._tree_at(head.length)
            if tree is None or tree.hash != head.tree_hash:
                raise StorageDamaged("the roots do not make the tree that was signed")
            self._tree = head, tree
        return self._tree[1]

    def check(self) -> None:
        """Look whether the head is what the writer signed. Raises `StorageDamaged`, `BadSignature`."""
        head = self.head
        self.tree()
        if head.signature:
            self._known_authority(None).verify(head.signature, head.tree_hash, head.length, head.fork)

    @property
    def begins_right(self) -> bool | None:
        """Whether it begins as it must; None while too little of it is here to tell."""
        if self.prefix is None:
            return True
        tree = self._tree_at(self.prefix.length) if self.prefix.length <= self.head.length else None
        return None if tree is None else tree.hash == self.prefix.tree_hash

    def tree_hash(self, length: int) -> bytes:
        """What was signed, or would have been, at an earlier length. Raises `NotHeld`."""
        tree = self._tree_at(length) if length <= self.head.length else None
        if tree is None:
            raise NotHeld(f"tree of {length} blocks")
        return tree.hash

    def block(self, seq: int) -> bytes:
        """Raises `NotHeld`."""
        found = self.storage.blocks((seq,)).get(seq)
        if found is None:
            raise NotHeld(f"block {seq}")
        return found

    def seek(self, offset: int) -> tuple[int, int]:
        """Which block holds a payload byte, and where in it. Raises `NotHeld`, also beyond the end."""
        start = 0
        for root in self.tree().roots:
            if offset - start < root.size:
                return self._descend(root, start, offset)
            start += root.size
        raise NotHeld(f"byte {offset}")

    # --- the writer's side ---

    def append(self, blocks: Sequence[bytes], writer: Writer) -> Batch:
        """All blocks under one signature. Raises `NotWritable`, `BlockTooLarge`, `FeedFull`."""
        head = self.head
        tree, start = self._tree_under(head), head.length
        if any(len(block) > BLOCK_BYTES_MAX for block in blocks):
            raise BlockTooLarge(BLOCK_BYTES_MAX)
        if len(blocks) > APPEND_BLOCKS_MAX or start + len(blocks) > LENGTH_MAX:
            raise FeedFull
        grown, nodes = trees.append(tree, blocks)
        if grown.byte_length > BYTE_LENGTH_MAX:
            raise FeedFull
        numbered = dict(zip(range(start, grown.length), blocks, strict=True))
        signed = self._signed(grown, head.fork, writer)
        self._tree = signed, grown  # true of that head, whether it is stored in the end or not
        told = self._manifest_to_store() if start == 0 else None
        return Batch(head, numbered, nodes, signed, manifest=told)

    def truncate(self, length: int, fork: int, writer: Writer) -> Batch:
        """Cut to a length, under a higher fork; the present length cuts nothing and only signs the fork.

        Raises `NotWritable`, `ForkTooLow`, `NotHeld`.
        """
        head = self.head
        if not head.fork < fork <= FORK_MAX:
            raise ForkTooLow(head.fork)
        tree = self._tree_at(length) if 0 <= length <= head.length else None
        if tree is None:
            raise NotHeld(f"tree of {length} blocks")
        return Batch(head, {}, (), self._signed(tree, fork, writer), cut=length, manifest=self._manifest_to_store())

    # --- what peers ask ---

    def prove(self, request: ProofRequest) -> Proof:
        """The answer. Raises `BadRequest`, and `NotHeld` where this copy has gaps."""
        head = self.head
        encoded = self.encoded_manifest if request.manifest else None
        if head.length == 0:
            if request.block or request.hash or request.seek or request.upgrade:
                raise BadRequest("something of an empty feed")
            return Proof(head.fork, manifest=encoded)
        plan = proving.plan(request, head.length, self.storage.nodes)
        nodes = self._fetched(plan.indexes())
        block = self.block(request.block.index) if request.block else b""
        return proving.assembled(request, plan, nodes, block, head, encoded)

    def prove_blocks(self, requests: Sequence[tuple[int, int]]) -> list[BlockProof]:
        """Many blocks, each with a path of so many levels: pairs of seq and levels. Raises as `prove` does.

        One reading of the storage for all of them; nothing of a request but numbers is made into an object.
        """
        end = self.head.length
        paths = [_siblings(seq, levels, end) for seq, levels in requests]
        nodes = self._fetched({index for path in paths for index in path})
        blocks = self.storage.blocks([seq for seq, _ in requests])
        try:
            return [
                BlockProof(seq, blocks[seq], [nodes[index] for index in path])
                for (seq, _), path in zip(requests, paths, strict=True)
            ]
        except KeyError as error:
            raise NotHeld(f"block {error.args[0]}") from error

    # --- the reader's side ---

    def provable_by(self, length: int) -> list[range]:
        """The blocks that a copy of so many can prove to this one, in order.

        Such a copy knows no node above its own roots, so a path that it gives must end at one of these at the latest.
        A root that is not here is one of which no block is, else it would have come with that block's path.
        """
        end = self.head.length
        if length >= end:
            return [range(end)]
        roots = flat_tree.roots(length)
        known = self.storage.nodes(roots).keys() | set(flat_tree.roots(end))
        return [
            range(flat_tree.left_span(root) // 2, flat_tree.right_span(root) // 2 + 1)
            for root in roots
            if root in known
        ]

    def paths_wanted(self, seqs: Sequence[int], promised: set[int]) -> list[tuple[int, int]]:
        """Pairs of seq and levels, as `prove_blocks` wants them: each path ends at a node that is held, or promised.

        `promised` are the nodes that answers still under way will bring; those of these requests are added to it.
        """
        end = self.head.length
        known = promised | self.storage.nodes(_ancestors(seqs, end)).keys() | set(flat_tree.roots(end))
        wanted = []
        for seq in seqs:
            index, levels = 2 * seq, 0
            while seq < end and index not in known:
                fresh = (index, flat_tree.sibling(index))
                known.update(fresh)
                promised.update(fresh)
                index, levels = flat_tree.parent(index), levels + 1
            wanted.append((seq, levels))
        return wanted

    def receive(self, proof: Proof) -> Batch:
        """What a proof adds to this copy. Raises `RemoteProtocolError` only, and then nothing of it may be stored.

        For a proof of a higher fork see `reorganise`.
        """
        head = self.head
        if proof.fork != head.fork:
            raise OutOfDate
        encoded = self._manifest_received(proof)
        _check_block(proof.block)
        walked = checking.walk(proof)
        nodes = list(walked.nodes) if walked else []
        new_head = None
        if proof.upgrade:
            grown = checking.upgrade(self.tree(), proof.upgrade, walked.top if walked else None)
            new_head = self._signed_by_the_writer(proof, grown.tree, encoded)
            nodes += grown.nodes
        if walked and not (proof.upgrade and grown.used):
            self._check_trusted(walked.top)
        blocks = {proof.block.index: proof.block.value} if proof.block else {}
        return Batch(head, blocks, nodes, new_head, manifest=encoded)

    def receive_blocks(self, fork: int, blocks: Iterable[BlockProof]) -> Received:
        """The same for many blocks of one fork at once, in the order of their seqs. Raises `RemoteProtocolError` only.

        A block may rest on nodes that came with a lower one. Whoever asks in order and counts on what it has asked
        for already gets about one node a block.
        """
        head = self.head
        if fork != head.fork:
            raise OutOfDate
        ordered = sorted(blocks, key=_seq)
        for block in ordered:
            _check_block(block)
        if ordered and ordered[-1].index >= head.length:
            raise BadProof("a block beyond the end of the feed")
        checked = bulk.check(ordered, self.storage.nodes, head.length)
        waiting = self._one_by_one(checked)
        taken = {block.index: block.value for block in ordered}
        for block in waiting:
            taken.pop(block.index, None)
        return Received(Batch(head, taken, checked.nodes), tuple(waiting))

    def reorganise(self, proof: Proof) -> Reorganisation:
        """Follow the writer to a higher fork: `proof` is an upgrade from nothing. Raises `RemoteProtocolError` only.

        The answer asks for hashes until the last common block is found, and then has the batch.
        """
        if proof.fork <= self.head.fork:
            raise OutOfDate
        return self._moved_to(proof)

    def shows_prefix(self, proof: Proof) -> bool:
        """Whether a proof from nothing to the prefix's length is one of the branch that begins with it."""
        upgrade, prefix = proof.upgrade, self.prefix
        if upgrade is None or prefix is None or (upgrade.start, upgrade.length) != (0, prefix.length):
            return False
        return hashing.tree_hash(upgrade.nodes) == prefix.tree_hash

    def take_prefix(self, proof: Proof) -> Reorganisation:
        """Go to the branch that begins as it must, at whatever fork; `proof` is one that `shows_prefix`.

        The same as `reorganise` otherwise.
        """
        if self.begins_right or proof.upgrade is None:
            raise OutOfDate
        trusted = {node.index for node in proof.upgrade.nodes}  # with their sizes, and so are those beside them
        beside = [node for node in proof.upgrade.additional_nodes if flat_tree.sibling(node.index) in trusted]
        return self._moved_to(proof, kept=[*proof.upgrade.nodes, *beside])

    def _moved_to(self, proof: Proof, kept: Sequence[Node] = ()) -> Reorganisation:
        """`kept` are nodes of the proof that are trusted whoever signed it."""
        head = self.head
        if proof.upgrade is None:
            raise BadProof("another branch without a signed head")
        encoded = self._manifest_received(proof)
        _check_block(proof.block)
        walked = checking.walk(proof)
        grown = checking.upgrade(Tree(), proof.upgrade, walked.top if walked else None)
        if not grown.used:
            raise BadProof("a node that is not in the new tree")
        new_head = self._signed_by_the_writer(proof, grown.tree, encoded)
        nodes = [*kept, *(walked.nodes if walked else ()), *grown.nodes]
        base = Batch(head, {}, nodes, new_head, manifest=encoded)
        return Reorganisation(base, grown.tree.roots, self.storage)

    def conflict(self, proof: Proof) -> Conflict | None:
        """The evidence, if a proof from nothing, for our fork and no longer than our feed, contradicts it.

        Raises `BadProof`, `BadSignature` if the proof itself is not signed; `NotHeld` where this copy has gaps.
        """
        if proof.fork != self.head.fork or proof.upgrade is None or proof.upgrade.length > self.head.length:
            raise OutOfDate
        authority = self._known_authority(self._manifest_received(proof))
        local = self.prove(conflict.from_nothing(proof.upgrade.length))
        return conflict.conflict(authority, local, proof)

    def comparable(self, length: int) -> int:
        """The longest part of so many blocks that can be compared with another copy, where this one has gaps."""
        while length:
            with contextlib.suppress(NotHeld):
                self.prove(conflict.from_nothing(length))
                break
            length &= length - 1  # without the last of the subtrees that it is made of
        return length

    # --- below ---

    def _tree_at(self, length: int) -> Tree | None:
        indexes = flat_tree.roots(length)
        nodes = self.storage.nodes(indexes)
        return Tree(length, tuple(nodes[index] for index in indexes)) if len(nodes) == len(indexes) else None

    def _nodes(self, indexes: Sequence[int]) -> list[Node]:
        found = self._fetched(indexes)
        return [found[index] for index in indexes]

    def _fetched(self, indexes: Iterable[int]) -> Mapping[int, Node]:
        wanted = set(indexes)
        found = self.storage.nodes(wanted)
        for index in wanted - found.keys():
            raise NotHeld(f"node {index}")
        return found

    def _descend(self, node: Node, start: int, offset: int) -> tuple[int, int]:
        index = node.index
        while index & 1:
            left, right = flat_tree.children(index)
            size = self._nodes([left])[0].size
            index, start = (left, start) if offset - start < size else (right, start + size)
        return index // 2, offset - start

    def _signed(self, tree: Tree, fork: int, writer: Writer) -> Head:
        authority = self._known_authority(None)
        tree_hash = tree.hash
        signature = authority.sign(writer.public_key, writer.sign, tree_hash, tree.length, fork)
        return Head(fork, tree.length, tree.byte_length, tree_hash, signature)

    def _signed_by_the_writer(self, proof: Proof, tree: Tree, encoded: bytes | None) -> Head:
        assert proof.upgrade is not None
        signature = proof.upgrade.signature
        tree_hash = tree.hash
        self._known_authority(encoded).verify(signature, tree_hash, tree.length, proof.fork)
        return Head(proof.fork, tree.length, tree.byte_length, tree_hash, signature)

    def _known(self) -> Authority | None:
        """Who may sign, as given or stored. It follows from the key, so it stays true if a transaction rolls back."""
        if self._authority is None:
            stored = self.storage.manifest()
            self._authority = None if stored is None else manifest.authority(self.key, stored)
        return self._authority

    def _known_authority(self, received: bytes | None) -> Authority:
        """The same, or by a manifest that came just now; without any the feed must be of the oldest kind."""
        return self._known() or manifest.authority(self.key, received)

    def _manifest_received(self, proof: Proof) -> bytes | None:
        """The manifest to store, if one came and none is stored. Raises `BadManifest` if it is not the feed's."""
        if proof.manifest is None:
            return None
        received = manifest.authority(self.key, proof.manifest).manifest
        return None if self.storage.manifest() is not None else manifest.encode(received)

    def _manifest_to_store(self) -> bytes | None:
        return None if self.storage.manifest() is not None else self.encoded_manifest

    def _one_by_one(self, checked: Checked) -> list[BlockProof]:
        """Blocks that are in no run: their nodes go to the others', and those that lead nowhere come back."""
        anchors = list(map(checking.block_anchor, checked.left))
        trusted, waiting = checked.trusted, list[BlockProof]()
        trusted.update(self.storage.nodes(set(anchors) - trusted.keys()))
        for block, anchor in zip(checked.left, anchors, strict=True):
            if anchor not in trusted:
                waiting.append(block)
                continue
            fresh = checking.block_path(block, trusted)
            trusted.update((node.index, node) for node in fresh)
            checked.nodes += fresh
        return waiting

    def _check_trusted(self, top: Node) -> None:
        trusted = self.storage.nodes((top.index,)).get(top.index)
        if trusted is None:
            raise Unanchored(top.index)
        if trusted.hash != top.hash:
            raise BadProof("it is not what belongs there")


def created(writer_key: bytes, storage: Storage) -> Feed:
    """The feed of a new writer, as npm makes it: its key is the hash of a manifest with this one signer."""
    made = manifest.default(writer_key)
    return Feed(made.key, storage, manifest.encode(made))


def _seq(block: BlockProof) -> int:
    return block.index


def _check_block(block: BlockProof | None) -> None:
    if block and len(block.value) > BLOCK_BYTES_MAX:
        raise OverLimit("a block", BLOCK_BYTES_MAX)
    if block and len(block.nodes) > NODES_MAX:
        raise OverLimit("the nodes of a proof", NODES_MAX)


def _siblings(seq: int, levels: int, end: int) -> list[int]:
    """The nodes beside a block's path, in a feed of `end` blocks."""
    if levels > end.bit_length() or (seq >> levels) + 1 << levels > end:
        raise BadRequest("a path that leaves the feed")
    return [(((seq >> level) ^ 1) << (level + 1)) + (1 << level) - 1 for level in range(levels)]


def _ancestors(seqs: Iterable[int], end: int) -> set[int]:
    """All nodes of a tree of `end` blocks at or above these blocks."""
    indexes, level, offsets = set[int](), 0, {seq for seq in seqs if seq < end}
    while offsets:
        indexes.update((offset << (level + 1)) + (1 << level) - 1 for offset in offsets)
        level += 1
        offsets = {offset >> 1 for offset in offsets if (offset >> 1) + 1 << level <= end}
    return indexes
