"""The registry: who is in this chain, as this machine knows it.

Reading is from memory. In a process that serves, what is in memory is looked after: this process's changes show at
once, those of others within a second. A command reads the database each time. Whoever changes anything says so to
the other plugins after the commit, and `instances.json` follows.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterable, Sequence

import peewee

from crow_hooks import Credentials, Crow, KnownInstance, Role, Status
from crow_plugins.files import FileError
from crow_plugins.identity import certificate, revocation
from crow_plugins.identity.certificate import Certificate
from crow_plugins.identity.errors import IdentityError
from crow_plugins.identity.revocation import Statement
from crow_plugins.outbound import urls
from crow_plugins.premises import Premises
from crow_plugins.registry import naming, revoking, rows
from crow_plugins.registry.mirror import Mirror
from crow_plugins.registry.naming import NameTaken
from crow_plugins.registry.own_address import own_address
from crow_plugins.registry.revoking import RevokesItself
from crow_plugins.registry.rows import NOTHING, Contents
from crow_plugins.registry.settings import RegistrySettings
from crow_plugins.running import gateway_stamp
from crow_plugins.ticking import next_tick

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
SEEN_SECONDS = 60  # how exactly the last contact is kept


class Registry:
    """The registry of one instance; see `crow_hooks.InstanceRegistry`."""

    def __init__(self, crow: Crow, premises: Premises) -> None:
        self._crow, self._premises = crow, premises
        identity = premises.keyring.identity
        self.chain = bytes.fromhex(identity.chain)
        self._own = identity.certificate.encode()
        self._mirror = Mirror(premises.home.folder, crow.instance, identity.chain)
        self._contents: Contents = NOTHING
        self._own_url: str | None = None  # as the mirror has it
        self._seen: object = None  # the stamp of the last look
        self._met: dict[str, int] = {}  # when there was contact, by the instance's id, where that is not kept yet
        self._contact_is_due = False  # one of them is a minute newer than what is kept
        self._heard: set[str] = set()  # of whom other plugins said so since somebody asked
        self._lock = threading.Lock()
        self._looking: asyncio.Task[None] | None = None

    # ---- reading --------------------------------------------------------------------------------

    @property
    def zones(self) -> frozenset[str]:
        return frozenset(self._settings.zones)

    def others(self) -> Sequence[KnownInstance]:
        return self._now().others

    def find(self, named: str) -> KnownInstance:
        return naming.found(named, self.others(), self._crow.instance)

    def credentials(self) -> Credentials:
        known = self._now()
        return Credentials((self._own, *(other.certificate for other in known.others)), known.revocations)

    def is_revoked(self, instance_id: str) -> bool:
        """Whether a revocation was heard, of an instance that need not be known."""
        return instance_id in self._now().revoked

    def holder(self, name: str) -> str | None:
        """The id of the instance that is called so on this machine, this one included and hidden ones not."""
        if name == self._crow.instance.name:
            return self._crow.instance.id
        listed = (other.instance for other in self.others() if not other.hidden)
        return next((instance.id for instance in listed if instance.name == name), None)

    def own_url(self) -> str | None:
        """Where others reach this instance, as far as it knows."""
        return own_address(self._settings.gateway_url, self._premises.home)

    def address_names(self) -> Sequence[str]:
        """The host name of the address that the operator says, for the gateway to answer to."""
        setting = self._settings.gateway_url
        return [] if setting is None else [urls.parse(setting).host]

    def mirrored(self) -> bytes | None:
        """What `instances.json` holds."""
        return self._mirror.read()

    # ---- changing -------------------------------------------------------------------------------

    def learn(self, heard: Credentials) -> frozenset[str]:
        known = {other.instance.id: other for other in self.others()}
        have = set(self._now().revocations)
        certificates = [found for found in self._read(heard.certificates) if self._is_news(found[0], known)]
        statements = [found for found in self._statements(heard.revocations) if found.signed not in have]
        if not certificates and not statements:
            return frozenset()
        changed: set[str] = set()
        with self._crow.transaction() as transaction:
            for shown, signed in certificates:
                before = rows.by_id(transaction.db, shown.instance_id)
                if before is None:
                    name = rows.free_name(transaction.db, shown.name, self._crow.instance.name)
                    rows.add(transaction.db, shown, signed, name, None, transaction.now)
                elif not self._is_newer(shown, before):  # another process was quicker
                    continue
                else:
                    rows.renew(transaction.db, shown, signed)
                changed.add(shown.instance_id)
            for statement in statements:
                if rows.keep_revocation(transaction.db, statement, transaction.now):
                    changed.add(statement.revocation.instance_id)
        self.changed()
        self._tell_registered(changed - known.keys())
        return frozenset(changed)

    def seen(self, instance_id: str, status: Status) -> None:
        self._set_status(instance_id, status, contact=True)
        if status != "offline":
            self._heard.add(instance_id)

    def heard_of(self) -> frozenset[str]:
        """Ids of the instances that were heard of, other than by a probe, since this was asked last."""
        heard = frozenset(self._heard)
        self._heard -= heard
        return heard

    def answered(self, instance_id: str) -> None:
        """It answered a probe. Database work."""
        known = next((other for other in self.others() if other.instance.id == instance_id), None)
        self._set_status(instance_id, _met(known), contact=True)

    def missed(self, instance_id: str) -> None:
        """It did not answer, again and again. Database work."""
        self._set_status(instance_id, "offline", contact=False)

    def keep(
        self,
        shown: Certificate,
        signed: bytes,
        gateway_url: str,
        name: str | None = None,
        role: Role | None = None,
    ) -> KnownInstance:
        """Register an instance that has shown who it is, or change the address of a known one, and what is given.

        Raises `NameTaken`.
        """
        with self._crow.transaction() as transaction:
            db = transaction.db
            before = rows.by_id(db, shown.instance_id)
            wanted = name or (before.instance.name if before else shown.name)
            if wanted == self._crow.instance.name or rows.name_holder(db, wanted) not in (None, shown.instance_id):
                raise NameTaken(wanted)
            self._put(db, before, shown, signed, wanted, transaction.now)
            rows.change(db, shown.instance_id, gateway_url=gateway_url, name=wanted, hidden=0)
            if role is not None:
                rows.change(db, shown.instance_id, role=role)
            kept = rows.by_id(db, shown.instance_id)
        assert kept is not None
        self._tell_kept(before, kept)
        return kept

    def announced(self, shown: Certificate, signed: bytes, gateway_url: str | None) -> KnownInstance:
        """Keep an instance that came by itself, under a name that is free; one that is hidden stays so."""
        with self._crow.transaction() as transaction:
            db = transaction.db
            before = rows.by_id(db, shown.instance_id)
            name = rows.free_name(db, shown.name, self._crow.instance.name) if before is None else before.instance.name
            self._put(db, before, shown, signed, name, transaction.now)
            if gateway_url is not None:
                rows.change(db, shown.instance_id, gateway_url=gateway_url)
            kept = rows.by_id(db, shown.instance_id)
        assert kept is not None
        self._tell_kept(before, kept)
        return kept

    def update(self, instance_id: str, *, name: str | None, gateway_url: str | None) -> KnownInstance:
        """Change this machine's label for an instance, or where it is dialled (empty: never). Raises `NameTaken`."""
        with self._crow.transaction() as transaction:
            db = transaction.db
            if name is not None:
                certificate.check_name(name)
                if rows.name_holder(db, name) not in (None, instance_id) or name == self._crow.instance.name:
                    raise NameTaken(name)
                rows.change(db, instance_id, name=name)
            if gateway_url is not None:
                rows.change(db, instance_id, gateway_url=gateway_url or None)
            known = rows.by_id(db, instance_id)
        assert known is not None
        self.changed()
        return known

    def revoke(self, instance_id: str, passphrase: str | None) -> None:
        if instance_id == self._crow.instance.id:
            raise RevokesItself
        keyring = self._premises.keyring
        known = naming.found(instance_id, self.others(), self._crow.instance)
        chain = keyring.chain_key(passphrase)
        with self._crow.read() as db:
            foreseen = revoking.foresee(db, instance_id)
        signed = revoking.statement(foreseen, known, chain, self._crow.now()).signed
        self.learn(Credentials((), (signed,)))

    def hide(self, instance_id: str) -> None:
        """Take it out of the lists of this machine; what it wrote stays, and so does the trust in it."""
        with self._crow.transaction() as transaction:
            rows.change(transaction.db, instance_id, hidden=1)
        self.changed()

    def changed(self) -> None:
        """Take over what the database says now, and let the mirror follow. Database work."""
        with self._lock:
            with self._crow.read() as db:
                self._contents = rows.contents(db)
            self._own_url = self.own_url()
            try:
                self._mirror.write(self._contents.others, self._own_url)
            except FileError:
                log.exception("instances.json cannot be written")

    # ---- looked after, while it serves ----------------------------------------------------------

    async def start(self) -> None:
        await asyncio.to_thread(self.changed)
        await self._follow()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
            self._looking = None
            await self._follow()  # a gateway that stops has no address any more

    async def _look(self) -> None:
        while True:
            await next_tick(LOOK_SECONDS)
            if self._is_to_follow():
                await self._follow()

    def _is_to_follow(self) -> bool:
        """Whether there is anything to do for a worker thread, which most seconds there is not."""
        try:
            return self._contact_is_due or self._seen != self._stamp()
        except Exception:  # whoever follows meets it too, and says it
            return True

    def _stamp(self) -> tuple[object, ...]:
        """Another one once the database or our address may be another."""
        return self._premises.store.commits(), gateway_stamp(self._premises.home)

    async def _follow(self) -> None:
        try:
            await asyncio.to_thread(self._look_once)
        except Exception:  # a busy database: what is in memory stays for now
            log.exception("the registry cannot be read")

    def _look_once(self) -> None:
        """Take over what others have changed."""
        if self._contact_is_due:
            self._keep_contact()
        seen = self._stamp()
        with self._crow.read() as db:
            current = rows.generation(db)
        if current != self._contents.generation or self.own_url() != self._own_url:
            self.changed()
        self._seen = seen

    def _keep_contact(self) -> None:
        """Write down when everybody was last in contact, for all at once as soon as one's is a minute old."""
        met = list(self._met.items())
        with self._crow.transaction() as transaction:
            for instance_id, at in met:
                rows.change(transaction.db, instance_id, last_seen=at)
        for instance_id, _ in met:
            self._met.pop(instance_id, None)
        self._contact_is_due = False
        self.changed()

    # ---- below ----------------------------------------------------------------------------------

    @property
    def _settings(self) -> RegistrySettings:
        return self._crow.settings(RegistrySettings)

    def _now(self) -> Contents:
        if self._looking is None and not _on_event_loop():
            with self._crow.read() as db:
                if rows.generation(db) != self._contents.generation:
                    self._contents = rows.contents(db)
        return self._contents

    def _put(
        self,
        db: peewee.Database,
        before: KnownInstance | None,
        shown: Certificate,
        signed: bytes,
        name: str,
        now: int,
    ) -> None:
        """The row of an instance that was met just now."""
        if before is None:
            rows.add(db, shown, signed, name, None, now)
        elif self._is_newer(shown, before):
            rows.renew(db, shown, signed)
        rows.change(db, shown.instance_id, last_seen=now, status=_met(before))

    def _tell_kept(self, before: KnownInstance | None, kept: KnownInstance) -> None:
        self.changed()
        if before is None or (before.hidden and not kept.hidden):
            self._crow.notify("instance_registered", instance=kept.instance)
        if before is not None and before.status != kept.status:
            self._crow.notify("instance_status_changed", instance=kept.instance, status=kept.status)

    def _set_status(self, instance_id: str, status: Status, *, contact: bool) -> None:
        known = next((other for other in self.others() if other.instance.id == instance_id), None)
        if known is None:
            return
        now = self._crow.now()
        news = known.status != status
        if not news and not contact:
            return
        if not news and self._looking is not None:
            self._met[instance_id] = now
            if now - (known.last_seen or 0) >= SEEN_SECONDS:
                self._contact_is_due = True
            return
        if not news and now - (known.last_seen or 0) < SEEN_SECONDS:
            return
        self._met.pop(instance_id, None)
        with self._crow.transaction() as transaction:
            rows.change(transaction.db, instance_id, status=status, **({"last_seen": now} if contact else {}))
        self.changed()
        if news:
            self._crow.notify("instance_status_changed", instance=known.instance, status=status)

    def _tell_registered(self, ids: Iterable[str]) -> None:
        for other in self.others():
            if other.instance.id in ids:
                self._crow.notify("instance_registered", instance=other.instance)

    def _read(self, certificates: Iterable[bytes]) -> list[tuple[Certificate, bytes]]:
        """Those of our chain; the others are passed over: whoever sent them may be of a newer release."""
        found = []
        for signed in certificates:
            try:
                found.append((certificate.read(signed, self.chain), signed))
            except IdentityError as error:
                log.warning("a certificate was passed over reason=%s", error.code)
        return found

    def _statements(self, revocations: Iterable[bytes]) -> list[Statement]:
        found = []
        for signed in revocations:
            try:
                found.append(revocation.read(signed, self.chain))
            except IdentityError as error:
                log.warning("a revocation was passed over reason=%s", error.code)
        return found

    def _is_news(self, shown: Certificate, known: dict[str, KnownInstance]) -> bool:
        if shown.instance_id == self._crow.instance.id:
            return False
        before = known.get(shown.instance_id)
        return before is None or self._is_newer(shown, before)

    def _is_newer(self, shown: Certificate, before: KnownInstance) -> bool:
        return certificate.read(before.certificate, self.chain).serial < shown.serial


def _met(before: KnownInstance | None) -> Status:
    """The status after contact: one that is syncing goes on with it."""
    return "syncing" if before is not None and before.status == "syncing" else "online"


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
