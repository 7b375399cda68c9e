"""Posts as other machines and imports bring them, and what any write of a post is held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from crow_hooks import Data, Entry, Invalid, Version
from crow_plugins.blog.post import POST
from crow_plugins.blog.posts import Posts
from crow_plugins.host import Host
from crow_plugins.rows import take

SWAN = "22222222-2222-4222-8222-222222222222"
ROW, OTHER = "33333333-3333-4333-8333-333333333333", "11111111-1111-4111-8111-111111111111"
PLAIN: Data = {
    "title": "Crows",
    "slug": "crows",
    "content": "x",
    **dict.fromkeys(("excerpt", "language", "published_at")),
    "tags": [],
    "status": "draft",
    "origin_instance": SWAN,
    "created_at": 5,
    "updated_at": 5,
}
BROKEN: list[Data] = [{"slug": "a~b"}, {"slug": "Crows"}, {"slug": ""}, {"status": "secret"}]


@pytest.fixture
def posts(host: Host) -> Posts:
    return Posts(host.hook.handle("blog"))


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_a_post_that_no_page_could_show_is_refused_on_arrival(host: Host, posts: Posts, broken: Data) -> None:
    version = Version(f"{SWAN}.000000000000", 5)
    entry = Entry("blog_update", "posts", ROW, {**PLAIN, **broken}, version, {}, (), 5, SWAN)
    with pytest.raises(Invalid), host.store.transaction() as transaction:
        transaction.apply(entry)
    assert posts.list([], limit=1, cursor=None).total == 0


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_however_a_post_is_written_here_it_is_held_to_the_same(host: Host, posts: Posts, broken: Data) -> None:
    post = posts.add({"title": "Crows", "content": "x"})
    [(name, value)] = broken.items()
    with pytest.raises(Invalid), host.transaction() as transaction:
        transaction.db.execute_sql(f"UPDATE posts SET {name} = ?", (value,))
        transaction.record("blog_update", "posts", post.id)
    assert posts.get(post.id) == post


def test_of_posts_with_one_slug_the_first_that_was_made_shows_it_bare(host: Host, posts: Posts) -> None:
    records = [{**PLAIN, "id": ROW, "created_at": 5}, {**PLAIN, "id": OTHER, "created_at": 6}]
    assert list(take(host.hook.handle("blog"), POST, records, False)) == [None, None]
    assert posts.shown_slugs([posts.get(ROW), posts.get(OTHER)]) == ["crows", f"crows~{OTHER[:6]}"]


def test_a_post_that_is_published_again_keeps_its_first_time(home: Path, open_host: Callable[..., Host]) -> None:
    now = [1_800_000_000]
    posts = Posts(open_host(home, now=lambda: now[0]).hook.handle("blog"))
    post = posts.add({"title": "Crows", "content": "x"})
    for _ in range(2):
        assert posts.publish(post.id).published_at == 1_800_000_000
        posts.unpublish(post.id, "draft")
        now[0] += 60
