"""Posts on two gateways, through their tools over HTTP, and as their readers see them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from tests.replicator.assistants import Machine, apart, two_machines

pytestmark = pytest.mark.anyio
PUBLIC = """
[[plugin]]
name = "blog"

[plugin.settings]
public = true
"""


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Machine, Machine]]:
    async with two_machines(tmp_path, PUBLIC) as machines:
        yield machines


async def read(machine: Machine, path: str) -> tuple[int, str]:
    async with httpx2.AsyncClient(verify=False, trust_env=False) as client:  # plain HTTP on loopback
        answer = await client.get(machine.instance.url + path)
        return answer.status_code, answer.text


async def test_a_post_lives_its_life_on_both_machines(pair: tuple[Machine, Machine]) -> None:
    grackle, swan = pair
    draft = await grackle.call("crow_create_post", title="Crows", content="They *gather*.")
    assert await swan.sees("crow_get_post", lambda post: True, id=draft["id"]) == draft
    assert (await read(swan, "/blog/crows"))[0] == 404
    published = await swan.call("crow_publish_post", id=draft["id"])
    assert await grackle.sees("crow_get_post", lambda post: post["status"] == "published", id=draft["id"]) == published
    for machine in pair:
        status, page = await read(machine, "/blog/crows")
        assert (status, "<em>gather</em>" in page) == (200, True)
    await grackle.call("crow_unpublish_post", id=draft["id"])
    await swan.sees("crow_get_post", lambda post: post["status"] == "draft", id=draft["id"])
    assert (await read(swan, "/blog/crows"))[0] == 404
    await swan.call("crow_delete_post", id=draft["id"])
    await grackle.misses("crow_get_post", id=draft["id"])
    assert await grackle.types() == {"blog_update", "blog_delete"}


async def test_two_posts_given_one_slug_apart_are_both_kept_and_shown_alike_on_both(
    pair: tuple[Machine, Machine],
) -> None:
    grackle, swan = pair
    async with apart(grackle, swan):
        one = await grackle.call("crow_create_post", title="A day", content="of grackle", slug="a-day")
        two = await swan.call("crow_create_post", title="A day", content="of swan", slug="a-day")
        await grackle.call("crow_publish_post", id=one["id"])
        await swan.call("crow_publish_post", id=two["id"])
    for machine, other in ((grackle, two), (swan, one)):
        await machine.sees("crow_get_post", lambda post: post["status"] == "published", id=other["id"])
        assert await machine.conflicts(0) == []
    first, second = sorted((one, two), key=lambda post: (post["created_at"], post["id"]))
    suffixed = f"a-day~{second['id'][:6]}"
    for machine in pair:
        assert (await machine.call("crow_get_post", id=first["id"]))["slug"] == "a-day"
        assert (await machine.call("crow_get_post", id=second["id"]))["slug"] == suffixed
        assert first["content"] in (await read(machine, "/blog/a-day"))[1]
        assert second["content"] in (await read(machine, f"/blog/{suffixed}"))[1]
    await swan.call("crow_edit_post", id=second["id"], slug="another-day")
    await grackle.sees("crow_get_post", lambda post: post["slug"] == "another-day", id=second["id"])
    blocks = await asyncio.gather(grackle.blocks(), swan.blocks())
    assert not any(b"~" in block for held in blocks for block in held)
