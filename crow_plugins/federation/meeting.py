"""Who is at the other end of a new connection: it proves to be the instance that is meant before it hears anything.

The hello of the signed challenge is asked over that very connection. Who answers at an address and holds no key of
the instance learns the caller's id and a random number, and neither a token nor what a call is about.
"""

from __future__ import annotations

import secrets

from crow_hooks import Crow, KnownInstance
from crow_plugins.federation.refusal import Refusal
from crow_plugins.identity import challenge
from crow_plugins.identity.challenge import Hello
from crow_plugins.identity.errors import IdentityError
from crow_plugins.outbound.calling import BadStatus, TooLarge
from crow_plugins.outbound.opening import Look, Opened
from crow_plugins.outbound.urls import CHALLENGE_PATH
from crow_plugins.token import BadProof

NOT_NOW = frozenset({429, 503})
BUSY = "it cannot show who it is now: its keys are sealed, or too many ask; see crow status there, then call again"


def meeting(crow: Crow, known: KnownInstance, chain: bytes) -> Look:
    """Raises `BadProof`, `Refusal` where the other cannot show who it is now, and `AnswerBroken`."""

    async def look(opened: Opened) -> None:
        sent = Hello(crow.instance.id, secrets.token_bytes(challenge.CHALLENGE_BYTES))
        hello = challenge.hello(sent.instance_id, sent.challenge)
        try:
            answer = await opened.post(CHALLENGE_PATH, hello, answer_bytes=challenge.ANSWER_SIZE_MAX)
            shown = challenge.verify_answer(answer, sent, chain, crow.now()).callee
        except BadStatus as error:
            if error.status in NOT_NOW:
                raise Refusal(error.status, "busy_there", BUSY) from error
            raise BadProof from error
        except (TooLarge, IdentityError) as error:
            raise BadProof from error
        if (shown.instance_id, shown.instance_key) != (known.instance.id, known.instance_key):
            raise BadProof

    return look
