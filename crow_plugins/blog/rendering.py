"""Markdown as HTML that a page may show, whoever wrote it: no script, no form, no style, nothing that runs. Pure."""

from __future__ import annotations

import html
import re

EXCERPT_CHARACTERS = 280
SCHEMES = {"http", "https", "mailto"}
TAGS = {
    *("h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "s"),
    *("ul", "ol", "li", "a", "img", "table", "thead", "tbody", "tr", "th", "td"),
}
ATTRIBUTES = {"a": {"href", "title"}, "img": {"src", "alt", "title"}, "ol": {"start"}}


def rendered(markdown: str) -> str:
    """Headings begin one level down, since the page's is the title's; HTML in the text is shown as text."""
    import nh3  # here and below, since a gateway starts without the two
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    tokens = parser.parse(markdown)
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"
    made = parser.renderer.render(tokens, parser.options, {})
    # What markdown-it lets through is clean already; the second library is for its mistakes.
    return nh3.clean(
        str(made), tags=TAGS, attributes=ATTRIBUTES, url_schemes=SCHEMES, link_rel="noopener noreferrer nofollow"
    )


def opening(rendered_html: str) -> str:
    """How a text begins, in plain words."""
    import nh3

    text = " ".join(html.unescape(nh3.clean(re.sub(r"(</\w+>|<br>)", r"\1 ", rendered_html), tags=set())).split())
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    return text[: EXCERPT_CHARACTERS - 1].rsplit(" ", 1)[0].rstrip() + "…"


def in_xml(text: str) -> str:
    """Without the characters that XML has no way to write."""
    return re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text)
