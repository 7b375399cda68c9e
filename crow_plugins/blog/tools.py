"""The blog's MCP tools and resource: arguments with limits, structured answers beside readable text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from fastmcp import FastMCP
from fastmcp.tools.base import ToolResult
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field

from crow_plugins.blog.post import CONTENT_BYTES_MAX, EXCERPT_MAX, POST, TITLE_MAX, Post, Status, narrowed
from crow_plugins.blog.posts import Posts
from crow_plugins.blog.slug import SLUG_MAX
from crow_plugins.rows import fenced
from crow_plugins.rows.field import TAG_MAX, TAGS_MAX

READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
ADDS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=False, open_world_hint=False)
CHANGES = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=False)
PUBLISHES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)

ID = Field(min_length=1, max_length=64, description="The post's id, a UUID.")
TITLE = Field(min_length=1, max_length=TITLE_MAX, description="What it is called, in one line.")
CONTENT = Field(min_length=1, max_length=CONTENT_BYTES_MAX, description="The text, in Markdown, without the title.")
SLUG = Field(max_length=SLUG_MAX, description="Its name in the address; made of the title when left out.")
NEW_SLUG = Field(max_length=SLUG_MAX, description="Another name in the address; links to the old one end.")
EXCERPT = Field(max_length=EXCERPT_MAX, description="What it is about, for lists; else they show how it begins.")
LANGUAGE = Field(max_length=35, description="The language it is written in, like en, de or pt-BR.")
TAGS = Field(max_length=TAGS_MAX, description="Words to find it by; readers see them.")
ARCHIVE = Field(description="Keep it as archived rather than as a draft to be worked on.")
QUERY = Field(min_length=1, max_length=10_000, description="What to look for, in plain words.")
LIMIT = Field(ge=1, le=100, description="How many at the most.")
CURSOR = Field(max_length=256, description="next_cursor of the last answer.")

Tag = Annotated[str, Field(max_length=TAG_MAX)]
OnlyStatus = Annotated[Status | None, Field(description="Only drafts, only published or only archived ones.")]
OnlyTag = Annotated[str | None, Field(max_length=TAG_MAX, description="Only with this tag.")]


class PostAnswer(BaseModel):
    """A post and where it comes from; times in unix seconds.

    `slug` is what it is shown under: where two machines gave the same one, it ends in ~ and the beginning of the id.
    """

    id: str
    title: str
    slug: str
    content: str
    excerpt: str | None
    language: str | None
    tags: list[str]
    status: Status
    published_at: int | None
    origin_instance: str
    created_at: int
    updated_at: int
    lamport_ts: int


class PostHit(PostAnswer):
    """A post that matched: how well, and the place in it that did."""

    score: float
    snippet: str


class PostHits(BaseModel):
    """What a search found, best first; `matched` says whether all words were found or only some."""

    items: list[PostHit]
    matched: str
    total: int
    at_least: bool


class PostPage(BaseModel):
    """Some posts of a list; pass `next_cursor` as `cursor` for the next ones."""

    items: list[PostAnswer]
    next_cursor: str | None
    total: int


def post_tools(posts: Posts) -> FastMCP:
    server = FastMCP("crow-blog", mask_error_details=True)
    _add_writing(server, posts)
    _add_publishing(server, posts)
    _add_reading(server, posts)
    return server


def _add_writing(server: FastMCP, posts: Posts) -> None:
    @server.tool(annotations=ADDS, output_schema=PostAnswer.model_json_schema())
    def crow_create_post(
        title: Annotated[str, TITLE],
        content: Annotated[str, CONTENT],
        slug: Annotated[str | None, SLUG] = None,
        excerpt: Annotated[str | None, EXCERPT] = None,
        language: Annotated[str | None, LANGUAGE] = None,
        tags: Annotated[list[Tag], TAGS] = [],  # noqa: B006  # the schema shows it; nobody changes it
    ) -> ToolResult:
        """Write a draft of a blog post. Nobody sees it until crow_publish_post."""
        return _one("Created as a draft", posts, posts.add(POST.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=PostAnswer.model_json_schema())
    def crow_edit_post(
        id: Annotated[str, ID],
        title: Annotated[str | None, TITLE] = None,
        content: Annotated[str | None, CONTENT] = None,
        slug: Annotated[str | None, NEW_SLUG] = None,
        excerpt: Annotated[str | None, EXCERPT] = None,
        language: Annotated[str | None, LANGUAGE] = None,
        tags: Annotated[list[Tag] | None, TAGS] = None,
    ) -> ToolResult:
        """Change fields of a post; those left out stay. An empty excerpt or language clears it."""
        return _one("Edited", posts, posts.update(id, POST.given(locals())))

    @server.tool(annotations=CHANGES, output_schema=PostAnswer.model_json_schema())
    def crow_delete_post(id: Annotated[str, ID]) -> ToolResult:
        """Delete a post. To take it from the pages only, use crow_unpublish_post."""
        answer = _answers(posts, [posts.get(id)])[0]  # its slug is shown as it was
        posts.delete(id)
        return _told("Deleted", answer)


def _add_publishing(server: FastMCP, posts: Posts) -> None:
    @server.tool(annotations=PUBLISHES, output_schema=PostAnswer.model_json_schema())
    def crow_publish_post(id: Annotated[str, ID]) -> ToolResult:
        """Publish a post: readers of the blog see it where a machine shows its blog."""
        return _one("Published", posts, posts.publish(id))

    @server.tool(annotations=CHANGES, output_schema=PostAnswer.model_json_schema())
    def crow_unpublish_post(id: Annotated[str, ID], archive: Annotated[bool, ARCHIVE] = False) -> ToolResult:
        """Take a post from the pages; it is kept as a draft, or archived."""
        return _one("Taken back", posts, posts.unpublish(id, "archived" if archive else "draft"))


def _add_reading(server: FastMCP, posts: Posts) -> None:
    @server.tool(annotations=READS, output_schema=PostPage.model_json_schema())
    def crow_list_posts(
        status: OnlyStatus = None,
        tag: OnlyTag = None,
        limit: Annotated[int, LIMIT] = 20,
        cursor: Annotated[str | None, CURSOR] = None,
    ) -> ToolResult:
        """List posts, the one changed last first."""
        page = posts.list(narrowed(status, tag), limit=limit, cursor=cursor)
        items = _answers(posts, page.items)
        answer = PostPage(items=items, next_cursor=page.next_cursor, total=page.total)
        return ToolResult(content=f"{page.total} in all.\n{_lines(items)}", structured_content=answer.model_dump())

    @server.tool(annotations=READS, output_schema=PostHits.model_json_schema())
    def crow_search_posts(
        query: Annotated[str, QUERY],
        status: OnlyStatus = None,
        tag: OnlyTag = None,
        limit: Annotated[int, LIMIT] = 10,
    ) -> ToolResult:
        """Search posts, best matches first."""
        found = posts.find(query, narrowed(status, tag), limit)
        answers = _answers(posts, [hit.record for hit in found.hits])
        hits = [
            PostHit(**answer.model_dump(), score=hit.score, snippet=hit.snippet)
            for answer, hit in zip(answers, found.hits, strict=True)
        ]
        answer = PostHits(items=hits, matched=found.matched, total=found.total, at_least=found.at_least)
        return ToolResult(content=_lines(hits), structured_content=answer.model_dump())

    @server.tool(annotations=READS, output_schema=PostAnswer.model_json_schema())
    def crow_get_post(id: Annotated[str, ID]) -> ToolResult:
        """One post in full."""
        return _one("Post", posts, posts.get(id))

    @server.resource("crow://posts/{id}", mime_type="application/json")
    def post(id: str) -> str:
        """One post in full, as JSON."""
        return _answers(posts, [posts.get(id)])[0].model_dump_json()


def _answers(posts: Posts, found: Sequence[Post]) -> list[PostAnswer]:
    return [
        PostAnswer(**{**asdict(post), "slug": shown})
        for post, shown in zip(found, posts.shown_slugs(found), strict=True)
    ]


def _one(verb: str, posts: Posts, post: Post) -> ToolResult:
    return _told(verb, _answers(posts, [post])[0])


def _told(verb: str, answer: PostAnswer) -> ToolResult:
    text = _shown(answer, f"{answer.title}\n{answer.content}")
    return ToolResult(content=f"{verb}.\n{text}", structured_content=answer.model_dump())


def _lines(items: Sequence[PostAnswer]) -> str:
    return "\n".join(map(_line, items)) or "Nothing found."


def _line(item: PostAnswer) -> str:
    return _shown(item, f"{item.title}\n{item.snippet}" if isinstance(item, PostHit) else item.title)


def _shown(item: PostAnswer, text: str) -> str:
    """Where it comes from, then the text."""
    return fenced(f"post {item.id} status={item.status} slug={item.slug} from={item.origin_instance}", text)
