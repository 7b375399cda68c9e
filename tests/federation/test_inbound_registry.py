"""Federation with the registry as it is: instances that know each other by certificates, from process to process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx2
import pytest

from crow_hooks import REGISTRY, Credentials
from crow_plugins.files import make_private_folder
from crow_plugins.host import Host
from crow_plugins.keyring import Keyring
from tests.federation.world import SEED, House, body_of, headers_of
from tests.gateway_process import crow, running_gateway

pytestmark = pytest.mark.anyio
SEARCH = body_of("tools/call", name="crow_search_memories", arguments={"query": "kettle"})


@pytest.fixture
def chain(tmp_path: Path) -> Callable[[str], Path]:
    def make(name: str) -> Path:
        make_private_folder(tmp_path / name)
        Keyring.create(tmp_path / name, name=name, role="home", now=int(time.time()), seed=SEED)
        return tmp_path / name

    return make


@pytest.fixture
async def grackle(chain: Callable[[str], Path]) -> AsyncIterator[House]:
    with Host(chain("grackle")) as host:
        yield House(host)


async def test_an_instance_known_by_its_certificate_calls_a_gateway_of_another_process(
    grackle: House, chain: Callable[[str], Path]
) -> None:
    folder = chain("swan")
    with Host(folder) as host:
        swan = House(host)
        registry = host.services.find("test", REGISTRY)
        await asyncio.to_thread(registry.learn, Credentials((grackle.host.keyring.identity.certificate.encode(),), ()))
    with running_gateway(folder) as gateway:
        made = grackle.mint(swan, SEARCH)
        headers = {**headers_of(SEARCH), "Authorization": f"Bearer {made}"}
        async with httpx2.AsyncClient(base_url=gateway.base_url, timeout=20) as client:
            for path, status in (("/router/mcp", 200), ("/mcp", 401)):
                answer = await client.post(path, content=SEARCH, headers=headers)
                assert answer.status_code == status
                assert "crow-proof" in answer.headers
            foreign = await client.post("/mcp", content=SEARCH, headers={**headers, "Host": "evil.example"})
            assert foreign.status_code == 421
    recorded = await asyncio.to_thread(crow, folder, "federation", "audit", "--json")
    assert [row["status"] for row in json.loads(recorded.stdout)] == ["token_replayed", "ok"]
    checked = await asyncio.to_thread(crow, folder, "federation", "audit", "--verify")
    assert checked.stdout == "2 rows follow from one another; 0 older ones are gone\n"
