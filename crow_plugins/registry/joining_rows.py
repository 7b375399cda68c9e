"""What joining writes into the registry: on the inviting machine the one that came, on that one who let it in."""

from __future__ import annotations

import logging

import peewee

from crow_hooks import Crow, Instance, Transaction
from crow_plugins.config import Home
from crow_plugins.files import FileError
from crow_plugins.identity import certificate
from crow_plugins.identity.errors import IdentityError
from crow_plugins.identity.invitation import Applicant, Certified, Refusal
from crow_plugins.joining import finish
from crow_plugins.keyring import Identity
from crow_plugins.registry import rows
from crow_plugins.registry.registry import Registry

log = logging.getLogger(__name__)


class Arrivals:
    """The registry's side of joining."""

    def __init__(self, crow: Crow, registry: Registry, own: Identity) -> None:
        self._crow, self._registry, self._own = crow, registry, own

    def refusal(self, db: peewee.Database, applicant: Applicant, instance_id: str | None) -> Refusal | None:
        """Why a machine cannot be let in; revoked and hidden instances keep their keys and ids."""
        asked = {key.hex() for key in (applicant.instance_key, applicant.noise_key, applicant.feed_key)}
        own_keys = {self._own.instance_key, self._own.noise_key, self._own.feed_key}
        if asked & own_keys or instance_id == self._own.instance_id or _is_known(db, asked, instance_id):
            return "key_taken"
        if applicant.name == self._crow.instance.name or rows.name_holder(db, applicant.name) is not None:
            return "name_taken"
        return None

    def let_in(self, transaction: Transaction, certified: Certified, gateway_url: str | None) -> None:
        shown = certified.certificate
        rows.add(transaction.db, shown, certified.signed, shown.name, gateway_url, transaction.now)
        transaction.after_commit(lambda: self._tell(Instance(shown.instance_id, shown.name, shown.role)))

    def introduced(self, signed: bytes, gateway_url: str) -> Instance:
        shown = certificate.read(signed, bytes.fromhex(self._own.chain))
        with self._crow.transaction() as transaction:
            db = transaction.db
            if rows.by_id(db, shown.instance_id) is None:
                name = rows.free_name(db, shown.name, self._crow.instance.name)
                rows.add(db, shown, signed, name, gateway_url, transaction.now)
            else:
                rows.change(db, shown.instance_id, gateway_url=gateway_url)
            instance = Instance(shown.instance_id, shown.name, shown.role)
            transaction.after_commit(lambda: self._tell(instance))
        return instance

    def end_unfinished(self, home: Home) -> None:
        """Register who let this machine in, where its join was cut off before that. Database work."""
        try:
            inviter = finish(home, self, self._crow.now())
        except (FileError, IdentityError) as error:  # crow join says it to a person; serving goes on without
            log.warning("an unfinished join cannot be ended reason=%s", error.code)
        else:
            if inviter is not None:
                log.info("a join was ended inviter=%s", inviter.id)

    def _tell(self, instance: Instance) -> None:
        self._registry.changed()
        self._crow.notify("instance_registered", instance=instance)


def _is_known(db: peewee.Database, keys: set[str], instance_id: str | None) -> bool:
    """Whether any of the keys, or the id that is to be kept, is in the registry."""
    marks = ", ".join("?" * len(keys))
    asked = tuple(sorted(keys))
    row = db.execute_sql(
        f"SELECT 1 FROM crow_instances WHERE instance_key IN ({marks}) OR noise_key IN ({marks}) "
        f"OR feed_key IN ({marks}) OR id = ? LIMIT 1",
        (*asked, *asked, *asked, instance_id),
    ).fetchone()
    return row is not None
