"""Random histories of a chain with its feeds: relays, restores, two branches of one feed, rescue, late joiners.

Where `oracle` lets any entry reach anybody, here entries travel as they really do: in the feed of their writer, in
order, from whoever holds a copy. A restored instance may have lost what others hold, and may write on without
noticing. What must be true of it at any time is the same oracle's business.

A feed is a tuple of blocks that its writer signed under a fork; a copy knows all of them and holds the first few. Each
`Ways` is one thing that the sync rules say, as a method: so each can be taken away.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Generic

from crow_plugins import causality
from crow_plugins.causality import Dot
from tests.causality.oracle import TEXTS, E, Knowledge, Oracle, Played, Rules, S

STEPS = (20, 70)
ROWS = (1, 2, 2)

Block = tuple[int, str | None]  # a write's number, and who rescued it, if anybody did


@dataclass(frozen=True, slots=True)
class Copy:
    """A feed as one instance has it: the signed tree, and how many of its blocks are here."""

    fork: int = 0
    tree: tuple[Block, ...] = ()
    held: int = 0

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.tree[: self.held]

    @property
    def whole(self) -> bool:
        return self.held == len(self.tree)

    def appended(self, blocks: Iterable[Block], fork: int | None = None) -> Copy:
        tree = (*self.tree, *blocks)
        return Copy(self.fork if fork is None else fork, tree, len(tree))


@dataclass(slots=True)
class Kept(Generic[S]):
    """All that one instance's database holds."""

    writer: str
    rows: list[S]
    knows: list[Knowledge]
    lamport: int = 0
    suspect: bool = False
    feeds: dict[str, Copy] = field(default_factory=dict)
    cursors: Counter[str] = field(default_factory=Counter)
    orphans: dict[str, tuple[int, ...]] = field(default_factory=dict)
    disputed: dict[str, tuple[int, int]] = field(default_factory=dict)  # a fork, and the blocks that are in both
    outbox: tuple[int, ...] = ()
    parked: frozenset[int] = frozenset()

    def copy(self) -> Kept[S]:
        return replace(
            self,
            rows=list(self.rows),
            knows=[Knowledge(each.informed, each.overwritten, each.here) for each in self.knows],
            feeds=dict(self.feeds),
            cursors=Counter(self.cursors),
            orphans=dict(self.orphans),
            disputed=dict(self.disputed),
        )

    def standing(self) -> set[int]:
        """The writes that stand in a feed held here, beyond dispute."""
        return {number for author, feed in self.feeds.items() for number, _ in feed.blocks[: self.common(author)]}

    def common(self, author: str) -> int:
        """How much of a feed is beyond dispute, as long as it may be."""
        fork, common = self.disputed.get(author, (-1, 0))
        length = len(self.feeds[author].tree)
        return min(common, length) if self.feeds[author].fork == fork else length

    def everything(self) -> set[int]:
        """The writes that are here in any form."""
        held = {number for feed in self.feeds.values() for number, _ in feed.blocks}
        return held.union(self.outbox, *self.orphans.values())


@dataclass(slots=True)
class Instance(Generic[S]):
    """One installation, and its last backup."""

    id: str
    kept: Kept[S]
    backup: Kept[S]


class Ways:
    """What the sync rules say of feeds, one method a rule."""

    def name_after_restore(self, old: str, new: str) -> str:
        """R2: what was lost may be held by others, so its names are never given again."""
        return new

    def may_append(self, suspect: bool) -> bool:
        """R3: a feed that may be older than what others have is not appended to."""
        return not suspect

    def what_can_be_served(self, own: Copy) -> Copy:
        """R3: the longest branch that can be had; a head that nobody can serve in full is given up."""
        return replace(own, tree=own.blocks)

    def fork_when_healed(self, own: int, seen: list[int], agree: bool, now: int) -> int:
        """R3: above every fork that anybody shows, unless nobody has anything else."""
        return own if agree else max(own, now, *seen) + 1

    def cursor_after_cut(self, cursor: int, common: int) -> int:
        """R3: what is read again is applied again."""
        return min(cursor, common)

    def orphans(self, cut: tuple[int, ...]) -> tuple[int, ...]:
        """R3: what a reader cuts off is kept until it stands in a feed again."""
        return cut

    def disputed(self, blocks: tuple[int, ...]) -> tuple[int, ...]:
        """R3: of two branches of one fork each holder rescues what it has past the ancestor."""
        return blocks

    def returns(self, orphans: tuple[int, ...]) -> tuple[int, ...]:
        """R3: own blocks of a branch that was given up are appended after the one that others have."""
        return orphans

    def given(self, copy: Copy) -> Copy:
        """R4: every feed that is held is given from its first block on, since no block is ever cleared."""
        return copy

    def unparked(self, parked: frozenset[int]) -> frozenset[int]:
        """R10: later, a parked entry is joined like any other."""
        return parked


def play(rules: Rules[S, E], ways: Ways, size: int, seed: str, *, without_one: bool = False) -> Played:
    """Play the history of this seed with so many instances, then let them meet, and one more come late.

    `without_one`: one of them is not met again, and most often it has left two branches of its feed.
    """
    history = Chain(rules, ways, size, random.Random(seed))
    for _ in range(history.random.randint(*STEPS)):
        history.step()
    lost = history.lose_one() if without_one else None
    history.settle()
    if lost is not None and any(not history.is_whole(each.kept, lost) for each in history.instances):
        return Played({}, history.happened | {"the last head of the one that is gone got around without its blocks"})
    return Played(history.faults, history.happened)


class Chain(Generic[S, E]):
    """Instances with some rows in common, their feeds, and what was found wrong so far."""

    def __init__(self, rules: Rules[S, E], ways: Ways, size: int, rng: random.Random) -> None:
        self.rules, self.ways, self.random, self.oracle = rules, ways, rng, Oracle()
        self.rows = range(rng.choice(ROWS))
        self.instances = [self._born(f"i{number}") for number in range(size - 1)]
        self.size, self.now = size, 0
        self.entries: list[E] = []
        self.faults: dict[str, str] = {}
        self.happened: set[str] = set()
        self._steps: dict[Callable[[Instance[S]], None], int] = {
            self._write: 30,
            self._delete: 5,
            self._resolve: 10,
            self._meet_somebody: 45,
            self._unpark: 3,
            self._back_up: 4,
            self._restore: 6,
            self._heal: 6,
            self._rescue: 8,
            self._join_chain: 2,
        }

    def step(self) -> None:
        self.now += 1
        (act,) = self.random.choices(list(self._steps), list(self._steps.values()))
        act(self.random.choice(self.instances))

    def lose_one(self) -> str:
        """Somebody takes what it has, then somebody else what it has after a restore that it does not notice.

        Returns who is not met again.
        """
        lost, one, other, *_ = self.random.sample(self.instances, len(self.instances)) * 2
        if lost.kept.suspect:
            self._heal_with(lost, [])
        self._back_up(lost)
        for taker in (one, other):
            for _ in range(self.random.randint(1, 3)):
                self._write(lost)
            self._take(taker, lost.id, lost.kept.feeds[lost.id], 1.0)
            lost.kept = lost.backup.copy()
            lost.kept.writer = self._writer(lost.id)
        self.instances.remove(lost)
        return lost.id

    def settle(self) -> None:
        """All meet until nothing is new, and a newcomer reads everything from one of them."""
        before = set[int]().union(*(each.kept.everything() for each in self.instances))
        for _ in range(4):
            self.now += 1
            for instance in self.instances:
                self._heal_with(instance, [other for other in self.instances if other is not instance])
            self._meet_all(self.instances)
            for instance in self.instances:
                self._rescue(instance)
        self._meet_all(self.instances)
        newcomer = self._born("late")
        self._meet(self.random.choice(self.instances), newcomer, cut=False)
        everybody = [*self.instances, newcomer]
        for instance in everybody:
            self._unpark(instance)
            self._look_for_losses(instance, before)
        for row in self.rows:
            self._compare_all([instance.kept.rows[row] for instance in everybody])

    # ---- what a person does -----------------------------------------------------------------------

    def _write(self, instance: Instance[S]) -> None:
        row, text = self.random.choice(self.rows), self.random.choice(TEXTS)
        shown = self.oracle.shown(instance.kept.knows[row])
        if shown is None or shown.content != text:  # a write that changes nothing is no write
            self._record(instance, row, deleted=False, text=text)

    def _delete(self, instance: Instance[S]) -> None:
        row = self.random.choice(self.rows)
        shown = self.oracle.shown(instance.kept.knows[row])
        if shown is not None and not shown.deleted:
            self._record(instance, row, deleted=True, text=shown.text)

    def _resolve(self, instance: Instance[S]) -> None:
        row = self.random.choice(self.rows)
        view = self.oracle.view(instance.kept.knows[row])
        others = sorted(number for number, _, _ in view.live if number != view.shown)
        if view.shown is None or not others:
            return
        settled = {view.shown, *self.random.sample(others, self.random.randint(1, len(others)))}
        chosen = self.oracle.writes[self.random.choice(sorted(settled))]
        self._record(instance, row, deleted=chosen.deleted, text=chosen.text, resolves=settled)
        self.happened.add("resolved")

    def _back_up(self, instance: Instance[S]) -> None:
        instance.backup = instance.kept.copy()

    def _restore(self, instance: Instance[S]) -> None:
        """Back to the last backup; half of the time the seal tells, otherwise only whoever has more."""
        instance.kept = kept = instance.backup.copy()
        kept.writer = self.ways.name_after_restore(kept.writer, self._writer(instance.id))
        if self.random.random() < 0.5:
            kept.suspect = True
            self.happened.add("restored, seen by the seal")
        else:
            self.happened.add("restored unseen")
            self._write(instance)  # at once: one step into another branch

    def _join_chain(self, instance: Instance[S]) -> None:
        if len(self.instances) < self.size:
            newcomer = self._born(f"i{len(self.instances)}")
            self.instances.append(newcomer)
            self._meet(instance, newcomer)
            self.happened.add("joined late")

    def _record(
        self, instance: Instance[S], row: int, *, deleted: bool, text: str, resolves: Iterable[int] = ()
    ) -> None:
        kept, settled = instance.kept, set(resolves)
        kept.lamport = causality.tick(kept.lamport)
        dot = Dot(kept.writer, kept.lamport)
        write = self.oracle.wrote(kept.knows[row], row, dot, deleted=deleted, text=text, resolves=settled)
        kept.rows[row], entry = self.rules.write(
            kept.rows[row],
            dot,
            deleted=deleted,
            data={"text": text, "number": write.number},
            resolves={self.oracle.writes[number].dot for number in settled},
        )
        self.entries.append(entry)
        if self.ways.may_append(kept.suspect):
            self._sign(instance, kept.feeds[instance.id].appended([(write.number, None)]))
        else:
            kept.outbox += (write.number,)
        self._compare(instance, row)

    # ---- feeds ------------------------------------------------------------------------------------

    def _meet_somebody(self, instance: Instance[S]) -> None:
        others = [other for other in self.instances if other is not instance]
        self._meet(instance, self.random.choice(others))

    def _meet_all(self, instances: list[Instance[S]]) -> None:
        for _ in instances:
            for source in instances:
                for target in instances:
                    if source is not target:
                        self._meet(source, target, cut=False)

    def _meet(self, source: Instance[S], target: Instance[S], *, cut: bool = True) -> None:
        """The target takes what the source has; a connection may be cut anywhere."""
        for author, theirs in list(source.kept.feeds.items()):
            if source.kept.suspect and author == source.id:
                continue
            if author not in (source.id, target.id):
                self.happened.add("relayed")
            self._take(target, author, self.ways.given(theirs), self.random.random() if cut else 1.0)

    def _take(self, target: Instance[S], author: str, theirs: Copy, share: float) -> None:
        kept = target.kept
        ours = kept.feeds.get(author, Copy())
        common = _common(ours.tree, theirs.tree)
        own = author == target.id
        if theirs.fork > ours.fork:
            ours = self._follow(target, author, ours, theirs, common)
        elif theirs.fork < ours.fork or common == len(theirs.tree):
            theirs = replace(theirs, tree=ours.tree) if theirs.fork == ours.fork else Copy()
        elif common < len(ours.tree):
            self.happened.add("two branches of one fork")
            if own:
                self._doubt(target)
            elif kept.disputed.get(author, (-1, 0))[0] != ours.fork or kept.disputed[author][1] > common:
                kept.disputed[author] = ours.fork, common
            kept.feeds[author] = replace(ours, held=max(ours.held, min(common, theirs.held)))
            self._apply(target, author)
            return
        elif own:
            self._doubt(target)
        tree = theirs.tree if len(theirs.tree) > len(ours.tree) else ours.tree
        gained = max(0, theirs.held - ours.held)
        kept.feeds[author] = Copy(ours.fork, tree, ours.held + round(gained * share))
        self._apply(target, author)

    def _follow(self, target: Instance[S], author: str, ours: Copy, theirs: Copy, common: int) -> Copy:
        """Another branch: cut ours, and keep what is cut."""
        kept = target.kept
        if author == target.id:
            self._doubt(target)
        cut = tuple(number for number, _ in ours.blocks[common:])
        if cut:
            self.happened.add("cut")
            kept.orphans[author] = (*kept.orphans.get(author, ()), *self.ways.orphans(cut))
        kept.cursors[author] = self.ways.cursor_after_cut(kept.cursors[author], common)
        return Copy(theirs.fork, theirs.tree, min(ours.held, common))

    def _doubt(self, instance: Instance[S]) -> None:
        if not instance.kept.suspect:
            instance.kept.suspect = True
            instance.kept.writer = self.ways.name_after_restore(instance.kept.writer, self._writer(instance.id))

    def _heal(self, instance: Instance[S]) -> None:
        self._heal_with(
            instance, [each for each in self.instances if each is not instance and self.random.random() < 0.7]
        )

    def _heal_with(self, instance: Instance[S], reachable: list[Instance[S]]) -> None:
        kept = instance.kept
        copies = [other.kept.feeds.get(instance.id, Copy()) for other in reachable]
        for theirs in copies:
            self._take(instance, instance.id, theirs, 1.0)
        whole = kept.feeds[instance.id].whole
        own = self.ways.what_can_be_served(kept.feeds[instance.id])
        if not kept.suspect or not own.whole:
            return
        if not whole:
            self.happened.add("nobody had all of a head")
        agree = (
            whole
            and len(reachable) == len(self.instances) - 1
            and all(theirs.fork == own.fork and own.tree[: len(theirs.tree)] == theirs.tree for theirs in copies)
        )
        standing = kept.standing()
        waiting = [*self.ways.returns(kept.orphans.pop(instance.id, ())), *kept.outbox]
        fork = self.ways.fork_when_healed(own.fork, [theirs.fork for theirs in copies], agree, self.now)
        missing = [(number, None) for number in dict.fromkeys(waiting) if number not in standing]
        self._sign(instance, own.appended(missing, fork))
        kept.outbox, kept.suspect = (), False
        self.happened.add("healed at the same fork" if agree else "healed at a higher fork")

    def _rescue(self, instance: Instance[S]) -> None:
        kept = instance.kept
        if kept.suspect:
            return
        for author in [name for name in kept.feeds if name != instance.id]:
            self._rescue_disputed(instance, author)
        for author in [name for name in kept.orphans if name != instance.id and self.is_whole(kept, name)]:
            standing = kept.standing()
            lost = [number for number in dict.fromkeys(kept.orphans.pop(author)) if number not in standing]
            if lost:
                self.happened.add("rescued")
                blocks: list[Block] = [(number, instance.id) for number in lost]
                self._sign(instance, kept.feeds[instance.id].appended(blocks))

    def _rescue_disputed(self, instance: Instance[S], author: str) -> None:
        kept = instance.kept
        standing, held = kept.standing(), kept.feeds[author].blocks[kept.common(author) :]
        lost = self.ways.disputed(tuple(number for number, _ in held if number not in standing))
        if lost:
            self.happened.add("rescued of two branches")
            self._sign(instance, kept.feeds[instance.id].appended([(number, instance.id) for number in lost]))

    def is_whole(self, kept: Kept[S], author: str) -> bool:
        """Whether all that is beyond dispute of a feed is here."""
        return author not in kept.feeds or kept.feeds[author].held >= kept.common(author)

    def _sign(self, instance: Instance[S], feed: Copy) -> None:
        """A stock peer freezes a feed for good once it has two trees of one fork and length."""
        copies = [other.kept.feeds.get(instance.id, Copy()) for other in self.instances if other is not instance]
        for theirs in copies:
            both = min(len(theirs.tree), len(feed.tree))
            if instance.kept.suspect and theirs.fork == feed.fork and theirs.tree[:both] != feed.tree[:both]:
                self.faults.setdefault("forked", f"{instance.id} signs {feed} beside {theirs}, and could have known")
        instance.kept.feeds[instance.id] = feed

    # ---- rows -------------------------------------------------------------------------------------

    def _apply(self, instance: Instance[S], author: str) -> None:
        kept = instance.kept
        blocks = kept.feeds[author].blocks
        while kept.cursors[author] < len(blocks):
            number, _ = blocks[kept.cursors[author]]
            parked = number not in kept.parked and self.random.random() < 0.05
            if parked:
                kept.parked |= {number}
                self.happened.add("parked")
            else:
                self._join(instance, number)
            kept.cursors[author] += 1

    def _unpark(self, instance: Instance[S]) -> None:
        for number in sorted(self.ways.unparked(instance.kept.parked)):
            self._join(instance, number)

    def _join(self, instance: Instance[S], number: int) -> None:
        kept, write = instance.kept, self.oracle.writes[number]
        kept.lamport = causality.witness(kept.lamport, write.dot.lamport)
        kept.rows[write.row] = self.rules.join(kept.rows[write.row], self.entries[number])
        self.oracle.received(kept.knows[write.row], write)
        kept.parked -= {number}
        self._compare(instance, write.row)

    # ---- what is wrong ----------------------------------------------------------------------------

    def _compare(self, instance: Instance[S], row: int) -> None:
        found, true = self.rules.view(instance.kept.rows[row]), self.oracle.view(instance.kept.knows[row])
        if found != true:
            self.faults.setdefault("wrong", f"{instance.id} says {found} and not {true}")
        if true.conflicts:
            self.happened.add("in conflict")

    def _look_for_losses(self, instance: Instance[S], held: set[int]) -> None:
        for number in held:
            knows = instance.kept.knows[self.oracle.writes[number].row]
            if not knows.here >> number & 1:
                self.faults.setdefault("lost", f"{instance.id} never heard of {self.oracle.writes[number]}")
        for row in self.rows:
            live = self.oracle.view(instance.kept.knows[row]).live
            if live - self.rules.view(instance.kept.rows[row]).live:
                self.faults.setdefault("lost", f"{instance.id} does not keep {live}")

    def _compare_all(self, states: list[S]) -> None:
        prints = [self.rules.fingerprint(state) for state in states]
        if any(each != prints[0] for each in prints):
            self.faults.setdefault("diverged", f"the instances keep {prints}")

    def _born(self, instance_id: str) -> Instance[S]:
        rows, knows = [self.rules.empty() for _ in self.rows], [Knowledge() for _ in self.rows]
        kept = Kept(self._writer(instance_id), rows, knows, feeds={instance_id: Copy()})
        return Instance(instance_id, kept, kept.copy())

    def _writer(self, instance_id: str) -> str:
        return causality.writer_of(instance_id, f"{self.random.getrandbits(48):012x}")


def _common(one: tuple[Block, ...], other: tuple[Block, ...]) -> int:
    for seq, (here, there) in enumerate(zip(one, other, strict=False)):
        if here != there:
            return seq
    return min(len(one), len(other))
