"""The blog's tools as an assistant calls them, in both protocol eras."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastmcp import Client
from fastmcp.exceptions import ToolError

from crow_plugins.host import Host
from tests.tool_calls import call, refused

pytestmark = pytest.mark.anyio
NOWHERE = "00000000-0000-4000-8000-000000000000"
REFUSED: list[tuple[str, dict[str, object], str]] = [
    ("crow_create_post", {"title": " ", "content": "x"}, "title must not be empty"),
    ("crow_create_post", {"title": "a" * 201, "content": "x"}, "title of crow_create_post"),
    ("crow_create_post", {"title": "a", "content": ""}, "content of crow_create_post"),
    ("crow_create_post", {"title": "a", "content": "é" * 60_000}, "content is longer than 100 KiB"),
    ("crow_create_post", {"title": "a", "content": "nul \0"}, "content holds a NUL"),
    ("crow_create_post", {"title": "a", "content": "x", "slug": "a~b"}, "slug is words of letters"),
    ("crow_create_post", {"title": "a", "content": "x", "slug": "a/b"}, "slug is words of letters"),
    ("crow_create_post", {"title": "a", "content": "x", "language": "no such"}, "language is a language like en"),
    ("crow_edit_post", {"id": NOWHERE}, "nothing to change"),
    ("crow_edit_post", {"id": NOWHERE, "title": "a"}, "not_found: no post"),
    ("crow_edit_post", {"id": NOWHERE, "slug": ""}, "slug is words of letters"),
    ("crow_publish_post", {"id": NOWHERE}, "not_found: no post"),
    ("crow_unpublish_post", {"id": NOWHERE}, "not_found: no post"),
    ("crow_delete_post", {"id": NOWHERE}, "not_found: no post"),
    ("crow_get_post", {"id": NOWHERE}, "not_found: no post"),
    ("crow_list_posts", {"status": "secret"}, "status of crow_list_posts"),
    ("crow_list_posts", {"cursor": "garbage!"}, "cursor is not one of ours"),
    ("crow_search_posts", {"query": " "}, "the query is empty"),
]


async def test_the_tools_are_there_with_honest_annotations(client: Client[Any]) -> None:
    tools = {tool.name: tool for tool in await client.list_tools() if "_post" in tool.name}
    verbs = ("create", "edit", "publish", "unpublish", "delete", "get")
    reading = {"crow_list_posts", "crow_search_posts", "crow_get_post"}
    assert set(tools) == reading | {f"crow_{verb}_post" for verb in verbs}
    assert {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint} == reading
    for name, tool in tools.items():
        assert tool.description
        assert tool.output_schema
        for argument, schema in tool.input_schema["properties"].items():
            assert "description" in schema, f"{argument} of {name} has no description"


async def test_a_post_is_a_draft_until_it_is_published_and_can_be_taken_back(client: Client[Any], host: Host) -> None:
    draft = await call(client, "crow_create_post", title="Crows  at dusk", content="They *gather*.", tags=["birds"])
    assert (draft["title"], draft["slug"], draft["status"]) == ("Crows at dusk", "crows-at-dusk", "draft")
    assert (draft["published_at"], draft["origin_instance"]) == (None, host.instance.id)
    published = await call(client, "crow_publish_post", id=draft["id"])
    assert published["status"] == "published"
    assert published["published_at"] >= draft["created_at"]
    assert await call(client, "crow_publish_post", id=draft["id"]) == published
    assert (await call(client, "crow_unpublish_post", id=draft["id"]))["status"] == "draft"
    archived = await call(client, "crow_unpublish_post", id=draft["id"], archive=True)
    assert (archived["status"], archived["published_at"]) == ("archived", published["published_at"])
    (content,) = await client.read_resource(f"crow://posts/{draft['id']}")
    assert json.loads(content.text) == archived == await call(client, "crow_get_post", id=draft["id"])  # type: ignore[union-attr]  # it is text


async def test_an_edit_changes_the_named_fields_only(client: Client[Any]) -> None:
    draft = await call(client, "crow_create_post", title="A", content="x", excerpt="short", language="de")
    edited = await call(client, "crow_edit_post", id=draft["id"], content="y", excerpt="")
    assert (edited["content"], edited["excerpt"], edited["language"], edited["slug"]) == ("y", None, "de", "a")
    assert await call(client, "crow_edit_post", id=draft["id"], slug="a", content="y") == edited


async def test_a_slug_that_is_shown_already_is_refused_and_one_made_of_a_title_is_numbered(client: Client[Any]) -> None:
    first = await call(client, "crow_create_post", title="A day", content="x")
    second = await call(client, "crow_create_post", title="A day", content="y")
    assert (first["slug"], second["slug"]) == ("a-day", "a-day-2")
    for tool, arguments in {
        "crow_create_post": {"title": "B", "content": "z", "slug": "A-Day"},
        "crow_edit_post": {"id": second["id"], "slug": "a-day"},
    }.items():
        with pytest.raises(ToolError, match=r"^invalid: another post is shown under a-day; choose another slug"):
            await client.call_tool(tool, arguments)
    await call(client, "crow_delete_post", id=first["id"])
    assert (await call(client, "crow_edit_post", id=second["id"], slug="a-day"))["slug"] == "a-day"


async def test_posts_are_listed_and_found_by_status_tag_and_words(client: Client[Any]) -> None:
    one = await call(client, "crow_create_post", title="Crows", content="They remember faces.", tags=["birds"])
    two = await call(client, "crow_create_post", title="カラスの話", content="都市のカラス", language="ja")
    await call(client, "crow_publish_post", id=one["id"])
    for status, titles in {"draft": ["カラスの話"], "published": ["Crows"], "archived": []}.items():
        page = await call(client, "crow_list_posts", status=status)
        assert ([item["title"] for item in page["items"]], page["total"]) == (titles, len(titles))
    assert [item["id"] for item in (await call(client, "crow_list_posts", tag="birds"))["items"]] == [one["id"]]
    assert (await call(client, "crow_list_posts", limit=1))["next_cursor"] is not None
    found = await call(client, "crow_search_posts", query="remembering a face")
    assert [(hit["id"], hit["slug"]) for hit in found["items"]] == [(one["id"], "crows")]
    assert [hit["id"] for hit in (await call(client, "crow_search_posts", query="カラス"))["items"]] == [two["id"]]
    assert (await call(client, "crow_search_posts", query="face", status="draft"))["items"] == []
    everything = await call(client, "crow_search", query="faces", kinds=["post"])
    assert [(hit["kind"], hit["title"]) for hit in everything["items"]] == [("post", "Crows")]


async def test_readable_text_fences_what_was_stored(client: Client[Any]) -> None:
    result = await client.call_tool("crow_create_post", {"title": "x", "content": "a\n[post forged]"})
    assert result.content[0].text.endswith("\n| x\n| a\n| [post forged]")  # type: ignore[union-attr]  # it is text


async def test_bad_input_is_one_sentence_and_changes_nothing(
    client: Client[Any], caplog: pytest.LogCaptureFixture
) -> None:
    for tool, arguments, sentence in REFUSED:
        await refused(client, tool, arguments, sentence)
    assert "Traceback" not in caplog.text
    assert (await call(client, "crow_list_posts"))["total"] == 0
