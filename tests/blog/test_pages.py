"""The pages and the feed as readers and strangers get them: published posts, and nothing else, whatever is asked."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import feedparser
import pytest
from starlette.testclient import TestClient

from crow_plugins.blog.posts import Posts
from crow_plugins.gateway import application
from crow_plugins.host import Host

BASE = "http://127.0.0.1"
PUBLIC = """
[[plugin]]
name = "blog"

[plugin.settings]
public = true
title = "Grackle & Co"
description = "Notes <from> a machine"
posts_per_page = 3
"""


@pytest.fixture
def public(home: Path, open_host: Callable[..., Host]) -> Host:
    (home / "plugin_manifest.toml").write_text(PUBLIC)
    return open_host(home)


@pytest.fixture
def posts(public: Host) -> Posts:
    return Posts(public.hook.handle("blog"))


@pytest.fixture
def web(public: Host) -> Iterator[TestClient]:
    with TestClient(application(public), base_url=BASE, follow_redirects=False) as client:
        yield client


def published(posts: Posts, title: str, content: str = "x", **fields: object) -> str:
    post = posts.add({"title": title, "content": content, **fields})
    posts.publish(post.id)
    return post.id


def test_nothing_of_it_is_there_until_an_operator_says_so(host: Host) -> None:
    posts = Posts(host.hook.handle("blog"))
    published(posts, "Crows")
    with TestClient(application(host), base_url=BASE) as web:
        for path in ("/blog", "/blog/", "/blog/crows", "/blog/feed.xml", "/blog/blog.css"):
            assert web.get(path).status_code == 404


def test_a_published_post_has_a_page_in_its_own_language(web: TestClient, posts: Posts) -> None:
    published(posts, "Über <Krähen>", "# Eins\n\nSie *merken* sich Gesichter.", language="de", tags=["Vögel & mehr"])
    page = web.get("/blog/" + quote("über-krähen"))
    assert page.status_code == 200
    assert '<article lang="de">' in page.text
    assert "<h1>Über &lt;Krähen&gt;</h1>" in page.text
    assert "<h2>Eins</h2>" in page.text
    assert "Vögel &amp; mehr" in page.text
    assert f'<link rel="canonical" href="{BASE}/blog/{quote("über-krähen")}">' in page.text
    listed = web.get("/blog").text
    assert "Grackle &amp; Co" in listed
    assert "Sie merken sich Gesichter." in listed
    link = re.search(r'<h2><a href="([^"]+)">', listed)
    assert link is not None
    assert web.get(link[1]).text == page.text


def test_what_is_not_published_answers_like_what_never_was(web: TestClient, posts: Posts) -> None:
    secret = "a secret of the attic"
    draft = posts.add({"title": "Draft", "content": secret})
    taken_back, archived, deleted = (published(posts, title, secret) for title in ("Back", "Archived", "Deleted"))
    for slug in ("back", "archived", "deleted"):
        assert secret in web.get(f"/blog/{slug}").text
    posts.unpublish(taken_back, "draft")
    posts.unpublish(archived, "archived")
    posts.delete(deleted)
    never = web.get("/blog/never-was")
    assert never.status_code == 404
    guesses = ["draft", "DRAFT", f"draft~{draft.id[:6]}", draft.id, "back", "archived", "deleted", "drafts", "%64raft"]
    for guess in [*guesses, "draft?status=draft", "draft?preview=1", "draft%00", "~", "..%2fdraft", "x" * 5000]:
        answer = web.get(f"/blog/{guess}")
        assert (answer.status_code, answer.content, answer.headers) == (404, never.content, never.headers), guess
    for path in ("/blog", "/blog?page=1", "/blog/feed.xml", "/blog?status=draft", "/blog?tag=x&page=1"):
        assert secret not in web.get(path).text


def test_an_address_is_found_however_it_is_typed_and_an_empty_blog_says_so(web: TestClient, posts: Posts) -> None:
    assert "Nothing is published yet" in web.get("/blog").text
    published(posts, "Crème")
    assert web.get("/blog/" + quote(unicodedata.normalize("NFD", "CRÈME"))).status_code == 200


def test_pages_and_feed_name_the_address_that_the_operator_says(home: Path, open_host: Callable[..., Host]) -> None:
    (home / "plugin_manifest.toml").write_text(PUBLIC + 'address = "https://crow.example"\n')
    host = open_host(home)
    published(Posts(host.hook.handle("blog")), "Crows")
    with TestClient(application(host), base_url=BASE) as web:
        assert '<link rel="canonical" href="https://crow.example/blog/crows">' in web.get("/blog/crows").text
        assert "<link>https://crow.example/blog/crows</link>" in web.get("/blog/feed.xml").text


def test_pages_of_the_list_hold_each_post_once_the_newest_first(web: TestClient, posts: Posts) -> None:
    for number in range(7):
        post = posts.add({"title": str(number), "content": "x"})
        posts.update(post.id, {"status": "published", "published_at": 1000 + number})
    titles = [re.findall(r"<h2><a [^>]*>([^<]+)</a>", web.get(f"/blog?page={number}").text) for number in (1, 2, 3)]
    assert titles == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert 'rel="next" href="/blog?page=2"' in web.get("/blog").text
    for none in ("0", "4", "-1", "1e1", "٣", "9" * 30, "", "1;2"):
        assert web.get("/blog", params={"page": none}).status_code == 404


def test_readers_get_no_script_no_cookie_and_headers_that_hold(web: TestClient, posts: Posts) -> None:
    published(posts, "Crows", "<script>alert(1)</script> ![x](https://x.example/a.png)")
    for path in ("/blog", "/blog/crows", "/blog/never-was"):
        answer = web.get(path, headers={"cookie": "crow_nest=x"})
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers
        assert "<script" not in answer.text
        assert "style=" not in answer.text
    assert web.get("/blog/blog.css").headers["content-type"].startswith("text/css")
    assert web.get("/blog/").headers["location"] == "/blog"
    assert web.post("/blog/crows").status_code == 405
    assert web.head("/blog/crows").content == b""


def test_a_page_that_is_the_same_costs_nothing_and_one_that_is_taken_back_is_gone_at_once(
    web: TestClient, posts: Posts
) -> None:
    row_id = published(posts, "Crows")
    first = web.get("/blog/crows")
    assert "no-cache" in first.headers["cache-control"]
    again = web.get("/blog/crows", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    posts.update(row_id, {"content": "changed"})
    assert web.get("/blog/crows", headers={"if-none-match": first.headers["etag"]}).status_code == 200
    posts.unpublish(row_id, "draft")
    gone = web.get("/blog/crows", headers={"if-none-match": first.headers["etag"]})
    assert gone.status_code == 404
    assert web.get("/blog/crows", headers={"if-none-match": gone.headers["etag"]}).status_code == 404


def test_names_and_pages_of_others_are_refused_by_the_guard(web: TestClient) -> None:
    assert web.get("/blog", headers={"host": "evil.example"}).status_code == 421
    assert web.get("/blog", headers={"origin": "http://evil.example"}).status_code == 403


def test_the_feed_is_read_by_a_parser_as_it_was_meant(web: TestClient, posts: Posts) -> None:
    row_id = published(posts, "Crows & <friends> \x07", "A *day* ]]> <b>\x0b", excerpt='In "short"', tags=["a & b"])
    published(posts, "カラス", "都市")
    posts.add({"title": "Draft", "content": "secret"})
    answer = web.get("/blog/feed.xml")
    assert answer.headers["content-type"] == "application/rss+xml; charset=utf-8"
    feed = feedparser.parse(answer.content)
    assert (feed.bozo, feed.version, feed.feed.title) == (False, "rss20", "Grackle & Co")
    assert html.unescape(feed.feed.subtitle) == "Notes <from> a machine"
    assert {entry.title for entry in feed.entries} == {"Crows & <friends>", "カラス"}
    crows = next(entry for entry in feed.entries if entry.id == f"urn:uuid:{row_id}")
    assert crows.link == f"{BASE}/blog/crows-friends"
    assert html.unescape(crows.summary) == 'In "short"'
    assert [tag.term for tag in crows.tags] == ["a & b"]
    assert "<em>day</em>" in crows.content[0].value
    assert crows.published_parsed is not None
    assert all(web.get(entry.link).status_code == 200 for entry in feed.entries)
    assert b"secret" not in answer.content
