"""The one who invites, while the command is open: it has the code and the chain key, and looks at what was queued.

A request is looked at in two transactions. The first counts the try, so that a crash cannot give one back. The second
keeps, all at once, that the invitation is spent, the answer, and the new instance; a process that is killed before it
has let nobody in, after it the joiner has only to ask again.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import peewee

from crow_hooks import Instance, Transaction
from crow_plugins.identity import invitation
from crow_plugins.identity.errors import (
    BadName,
    CertificateMalformed,
    DegenerateKey,
    JoinMalformed,
    JoinNewer,
    TriesUsedUp,
    WrongCode,
)
from crow_plugins.identity.invitation import Applicant, Certified, Invitation, Refusal
from crow_plugins.identity.keys import KeyPair
from crow_plugins.registry.invitations import Invitations, Queued

UNREADABLE = (WrongCode, JoinMalformed, JoinNewer, BadName, DegenerateKey, CertificateMalformed)


class Newcomers(Protocol):
    """The registry, as far as it matters to one who wants to come in. Both inside the transaction."""

    def refusal(self, db: peewee.Database, applicant: Applicant, instance_id: str | None) -> Refusal | None:
        """Why a machine cannot be let in: its name, its keys or the id it wants to keep are taken; None when free."""

    def let_in(self, transaction: Transaction, certified: Certified, gateway_url: str | None) -> None:
        """Register the new instance."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an invitation: an instance, or the reason why its machine was turned away; eight words."""

    instance: Instance
    refused: Refusal | None
    fingerprint: str


class Inviter:
    """One open invitation, from the side that knows its code."""

    def __init__(
        self,
        invitations: Invitations,
        newcomers: Newcomers,
        chain: KeyPair,
        own_certificate: bytes,
        *,
        now: Callable[[], int],
        allow: Callable[[Applicant, str], bool] = lambda applicant, fingerprint: True,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Open an invitation; `allow` is asked about each machine that knows the code, with its eight words."""
        self._invitations, self._newcomers, self._allow = invitations, newcomers, allow
        self._chain, self._own = chain, own_certificate
        self._now, self._random = now, random
        self.code = random(invitation.CODE_BYTES)
        self._opened = invitation.invite(self.code, chain.public_key, random(invitation.NONCE_BYTES), now())
        invitations.open(self._opened)

    @property
    def spelled(self) -> str:
        """The code as a person reads it."""
        return invitation.spelled(self.code)

    @property
    def expires_at(self) -> int:
        return self._opened.expires_at

    def look(self) -> Outcome | None:
        """Look at what was queued; the outcome once somebody was let in or turned away. Database work.

        Raises `InvitationExpired`, `InvitationUsed`, `InvitationWithdrawn` or `TriesUsedUp`: nobody will come by it.
        """
        for queued in self._invitations.waiting(self._opened.id):
            outcome = self._consider(queued)
            if outcome is not None:
                return outcome
        self._invitations.check(self._opened.id)
        return None

    def withdraw(self) -> None:
        self._invitations.withdraw(self._opened.id)

    def _consider(self, queued: Queued) -> Outcome | None:
        kept = self._invitations.change(self._opened.id, lambda each: each.tried(self._now()))
        try:
            applicant = self._applicant(kept, queued)
        except UNREADABLE:
            with self._invitations.transaction() as transaction:
                self._invitations.settle(transaction, queued.digest, "wrong_code", None)
            if kept.tries_left < 1:
                raise TriesUsedUp from None
            return None
        # A person may take their time over it, so it is asked outside of any transaction.
        allowed = self._allow(applicant, invitation.fingerprint(kept.offer, queued.posted.request))
        with self._invitations.transaction() as transaction:
            return self._decide(transaction, queued, applicant, allowed=allowed)

    def _applicant(self, kept: Invitation, queued: Queued) -> Applicant:
        request, keeping = queued.posted.request, queued.posted.keeping
        applicant = invitation.open_request(self.code, kept, request)
        if keeping is not None:
            keeping.check(request, applicant.instance_key)
        return applicant

    def _decide(self, transaction: Transaction, queued: Queued, applicant: Applicant, *, allowed: bool) -> Outcome:
        kept = self._invitations.change_in(transaction, self._opened.id, Invitation.spent)
        keeping = queued.posted.keeping
        wanted = keeping.instance_id if keeping else None
        refusal = self._newcomers.refusal(transaction.db, applicant, wanted) if allowed else "declined"
        instance_id = wanted or str(uuid.UUID(bytes=self._random(16), version=4))
        request = queued.posted.request
        if refusal is not None:
            nonce = self._random(invitation.BOX_NONCE_BYTES)
            answer = invitation.refuse(self.code, kept, request, refusal, box_nonce=nonce)
            self._invitations.settle(transaction, queued.digest, "refused", answer)
        else:
            certified = self._certified(kept, request, instance_id, transaction.now)
            self._invitations.settle(transaction, queued.digest, "certified", certified.answer)
            self._newcomers.let_in(transaction, certified, applicant.gateway_url)
        words = invitation.fingerprint(kept.offer, request)
        return Outcome(Instance(instance_id, applicant.name, "satellite"), refusal, words)

    def _certified(self, kept: Invitation, request: bytes, instance_id: str, now: int) -> Certified:
        return invitation.certify(
            self.code,
            kept,
            request,
            self._chain,
            self._own,
            instance_id=instance_id,
            now=now,
            box_nonce=self._random(invitation.BOX_NONCE_BYTES),
        )
