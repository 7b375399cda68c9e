"""An answer is believed only with the proof of the instance that was called, for this very call."""

from __future__ import annotations

import base64
import json
from asyncio import to_thread
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import CallAnswer
from crow_plugins import gateway, token
from tests.federation.chain import federation, know
from tests.federation.test_many import many
from tests.federation.world import served
from tests.replicator.gateways import Instance

pytestmark = pytest.mark.anyio


class Meddling:
    """Between a gateway and its callers: changes the proofs of answers, as `how` says."""

    def __init__(self, app: Any, stranger: Instance) -> None:
        self._app, self._stranger = app, stranger
        self.how, self._earlier = "left alone", b""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def meddled(message: Any) -> None:
            if scope["type"] == "http" and message["type"] == "http.response.start":
                message = {**message, "headers": list(self._changed(scope, message))}
            await send(message)

        await self._app(scope, receive, meddled)

    def _changed(self, scope: Any, message: Any) -> Any:
        for name, value in message["headers"]:
            if name != b"crow-proof":
                yield name, value
            elif self.how == "left alone":
                self._earlier = value
                yield name, value
            elif self.how == "by another instance":
                yield name, token.proof(self._stranger.host.sign, jti=jti_of(scope), status=message["status"]).encode()
            elif self.how == "of an earlier answer":
                yield name, self._earlier


def jti_of(scope: Any) -> bytes:
    unverified = token.parts([value for name, value in scope["headers"] if name == b"authorization"])
    assert unverified is not None
    return base64.urlsafe_b64decode(json.loads(unverified.claims)["jti"] + "==")


async def test_without_its_own_proof_no_answer_is_believed(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan", "heron") as made:
        grackle, swan, heron = made.values()
        await swan.remember("kettle")
        meddling = Meddling(gateway.application(swan.host), heron)
        async with served(meddling) as url:
            await to_thread(know, grackle, swan, url)
            changes = ("left alone", "taken away", "by another instance", "left alone", "of an earlier answer")
            for how in (*changes, "left alone"):
                meddling.how = how
                outcome = await federation(grackle).call(swan.host.instance.id, "crow_search", {"query": "kettle"})
                if how == "left alone":
                    assert isinstance(outcome, CallAnswer), outcome
                else:
                    assert (how, outcome.code) == (how, "not_proven")
                    assert "kettle" not in outcome.reason
