"""Over a new connection the other end shows who it is before it hears of a call."""

from __future__ import annotations

from asyncio import to_thread
from dataclasses import replace
from pathlib import Path

import httpcore2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from crow_hooks import REGISTRY, CallAnswer
from crow_plugins.federation.meeting import meeting
from crow_plugins.outbound.opening import LookingBackend
from crow_plugins.outbound.urls import CHALLENGE_PATH, parse
from crow_plugins.token import BadProof
from tests.federation.chain import federation, know
from tests.federation.test_many import Wire, many
from tests.federation.world import served
from tests.replicator.gateways import Instance

pytestmark = pytest.mark.anyio
HELLO = b"POST " + CHALLENGE_PATH.encode() + b" "
SECRET = "the copper kettle"


def is_unheard(heard: bytes) -> bool:
    """Whether who heard this has seen no token and nothing of what was asked."""
    return not any(part in heard.lower() for part in (b"/mcp", b"bearer", b"crow_search", SECRET.encode()))


async def asked(caller: Instance, callee: Instance, **options: float) -> str:
    outcome = await federation(caller).call(callee.host.instance.id, "crow_search", {"query": SECRET}, **options)
    return "ok" if isinstance(outcome, CallAnswer) else outcome.code


async def test_another_instance_of_the_chain_at_the_address_hears_nothing(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan", "heron") as made:
        grackle, swan, heron = made.values()
        wire = Wire(heron.url)
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            for _ in range(2):
                assert await asked(grackle, swan) == "not_proven"
            wire.target = swan.url
            assert await asked(grackle, swan) == "ok"
        assert is_unheard(bytes(wire.heard).partition(b"/mcp")[0])
        assert wire.heard.count(HELLO) == wire.connections


async def test_with_another_key_than_is_known_it_is_not_the_one(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        crow, chain = grackle.host.handle("federation"), bytes.fromhex(grackle.host.keyring.identity.chain)
        known = grackle.host.services.find("tests", REGISTRY).find("swan")
        others = bytes.fromhex(grackle.host.keyring.identity.instance_key)
        for key, is_known in ((known.instance_key, True), (others, False)):
            look = meeting(crow, replace(known, instance_key=key), chain)
            url = parse(swan.url)
            backend = LookingBackend(httpcore2.AnyIOBackend(), url, look)
            if is_known:
                await (await backend.connect_tcp(url.host, url.port)).aclose()
            else:
                with pytest.raises(BadProof):
                    await backend.connect_tcp(url.host, url.port)


async def test_one_that_never_answers_costs_the_time_of_the_call_and_hears_nothing(tmp_path: Path) -> None:
    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        wire = Wire()
        async with wire.open() as url:
            await to_thread(know, grackle, swan, url)
            assert await asked(grackle, swan, timeout_seconds=0.2) == "timed_out"
            await wire.hung_up.wait()
        assert wire.heard.startswith(HELLO)
        assert is_unheard(bytes(wire.heard))


async def test_who_cannot_show_who_it_is_hears_nothing(tmp_path: Path) -> None:
    heard, status = list[bytes](), 0

    async def answer(request: Request) -> Response:
        heard.extend([request.url.path.encode(), *(each for pair in request.headers.raw for each in pair)])
        heard.append(await request.body())
        return Response(b"{}", status, media_type="application/json")

    async with many(tmp_path, "grackle", "swan") as made:
        grackle, swan = made.values()
        async with served(Starlette(routes=[Route("/{path:path}", answer, methods=["GET", "POST"])])) as url:
            await to_thread(know, grackle, swan, url)
            for status, code in ((200, "not_proven"), (404, "not_proven"), (429, "refused"), (503, "refused")):
                assert (status, await asked(grackle, swan)) == (status, code)
    assert is_unheard(b" ".join(heard))
