"""The blog for readers: a list, a page for each post, a feed, a stylesheet. Nobody signs in; nothing is set or asked.

What is not published answers just like what never was. A page is asked for anew each time (it costs 304 if it is the
same), so a post that is taken back is gone at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from email.utils import format_datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from crow_hooks import Crow
from crow_plugins.blog.rendering import in_xml
from crow_plugins.blog.settings import BlogSettings
from crow_plugins.blog.shelf import Shelf
from crow_plugins.wording import day, utc

if TYPE_CHECKING:
    from jinja2 import Environment

ROOT = "/blog"
HERE = Path(__file__).parent
FEED_POSTS = 20
PAGE_DIGITS_MAX = 6

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' https:; form-action 'none'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Cache-Control": "public, no-cache",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
}


def routes(crow: Crow, settings: BlogSettings) -> Sequence[BaseRoute]:
    """None where the blog is not public."""
    if not settings.public:
        return []
    pages = Pages(Shelf(crow), settings)
    return [
        Route(ROOT, pages.list),
        Route(f"{ROOT}/", lambda request: RedirectResponse(ROOT, 308)),
        Route(f"{ROOT}/feed.xml", pages.feed),
        Route(f"{ROOT}/blog.css", pages.style),
        Route(ROOT + "/{slug:path}", pages.post),
    ]


class Pages:
    """The endpoints: plain functions, so that each runs on a worker thread."""

    def __init__(self, shelf: Shelf, settings: BlogSettings) -> None:
        self._shelf, self._settings = shelf, settings
        self._style = (HERE / "static" / "blog.css").read_bytes()

    @cached_property
    def _templates(self) -> Environment:
        from jinja2 import Environment, FileSystemLoader  # with the first page: a gateway starts without
        from markupsafe import escape

        templates = Environment(loader=FileSystemLoader(HERE / "templates"), autoescape=True)
        templates.filters.update(
            day=day,
            mail_date=lambda at: format_datetime(utc(at)),
            path=lambda slug: f"{ROOT}/{quote(slug)}",
            xml=in_xml,
            as_html=lambda text: str(escape(in_xml(text))),
        )
        return templates

    def list(self, request: Request) -> Response:
        number = _page_number(request.query_params.get("page", "1"))
        articles, pages = self._shelf.page(number or 1, self._settings.posts_per_page)
        if number is None or number > pages:
            return self._missing(request)
        return self._page(request, "list.html", articles=articles, number=number, pages=pages)

    def post(self, request: Request) -> Response:
        article = self._shelf.article(request.path_params["slug"])
        if article is None:
            return self._missing(request)
        return self._page(request, "post.html", article=article)

    def feed(self, request: Request) -> Response:
        articles, _ = self._shelf.page(1, FEED_POSTS)
        text = self._rendered(request, "feed.xml", articles=articles)
        return _answer(request, text.encode(), "application/rss+xml; charset=utf-8")

    def style(self, request: Request) -> Response:
        return _answer(request, self._style, "text/css; charset=utf-8")

    def _missing(self, request: Request) -> Response:
        return self._page(request, "missing.html", status=404)

    def _page(self, request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
        text = self._rendered(request, template, **context)
        return _answer(request, text.encode(), "text/html; charset=utf-8", status)

    def _rendered(self, request: Request, template: str, **context: Any) -> str:
        address = self._settings.address or f"{request.url.scheme}://{request.url.netloc}"
        return self._templates.get_template(template).render(blog=self._settings, root=ROOT, address=address, **context)


def _answer(request: Request, body: bytes, media_type: str, status: int = 200) -> Response:
    """The body, or only that it is the same as the one the reader has."""
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {**HEADERS, "ETag": tag}
    if status == 200 and tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, status, headers, media_type)


def _page_number(text: str) -> int | None:
    """None for what is no page from 1."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= PAGE_DIGITS_MAX
    return int(text) or None if is_number else None
