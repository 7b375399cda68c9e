"""The published posts and no others, as the public pages show them. Every method works on the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from peewee import Database

from crow_hooks import Crow
from crow_plugins.blog import slug
from crow_plugins.blog.post import POST, Post
from crow_plugins.blog.posts import having
from crow_plugins.blog.rendering import opening, rendered

PUBLISHED = f"SELECT {', '.join(POST.columns)} FROM posts WHERE status = 'published'"
KEPT = 256  # texts that are rendered once for all readers


@dataclass(frozen=True, slots=True)
class Article:
    """One published post as a reader gets it: `html` is clean, `at` is when it was published."""

    post: Post
    slug: str
    at: int
    html: str
    excerpt: str


class Shelf:
    """What anybody may read."""

    def __init__(self, crow: Crow) -> None:
        self._crow = crow
        self._rendered = lru_cache(maxsize=KEPT)(rendered)

    def page(self, number: int, size: int) -> tuple[list[Article], int]:
        """The articles of a page from 1, the newest first, and how many pages there are (one at least)."""
        with self._crow.read() as db:
            total = db.execute_sql(f"SELECT count(*) FROM ({PUBLISHED})").fetchone()[0]
            rows = db.execute_sql(
                f"{PUBLISHED} ORDER BY coalesce(published_at, created_at) DESC, id LIMIT ? OFFSET ?",
                (size, (number - 1) * size),
            ).fetchall()
            return self._articles(db, rows), max(1, -(-total // size))

    def article(self, shown: str) -> Article | None:
        """The published post that is shown under this very slug."""
        shown = slug.normal(shown)
        with self._crow.read() as db:
            rows = db.execute_sql(f"{PUBLISHED} AND slug = ?", (shown.split(slug.MARK)[0],)).fetchall()
            return next((each for each in self._articles(db, rows) if each.slug == shown), None)

    def _articles(self, db: Database, rows: Sequence[Sequence[object]]) -> list[Article]:
        return [self._article(db, POST.read(row)) for row in rows]

    def _article(self, db: Database, post: Post) -> Article:
        html = self._rendered(post.content)
        named = slug.shown(post.slug, post.id, having(db, post.slug))
        at = post.created_at if post.published_at is None else post.published_at
        return Article(post, named, at, html, post.excerpt or opening(html))
