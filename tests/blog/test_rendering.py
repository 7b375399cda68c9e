"""Markdown that means harm: whatever is written, a page holds no script, no form, no style and no address that runs."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from crow_plugins.blog.rendering import ATTRIBUTES, TAGS, in_xml, opening, rendered

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))",
    "[a](java\nscript:alert(1))",
    "[a](&#106;avascript:alert(1))",
    "[a](java&Tab;script:alert(1))",
    "[a](data:text/html;base64,PHNjcmlwdD4=)",
    "![a](data:image/svg+xml;base64,PHN2Zz4=)",
    "![a](javascript:alert(1))",
    '[a](http://x.example "onmouseover=alert(1)")',
    '[a](http://x.example/"onmouseover="alert(1))',
    "<javascript:alert(1)>",
    "<http://x.example/\"onmouseover='alert(1)'>",
    '[a]: javascript:alert(1) "t"\n\n[a]',
    "<svg><a xlink:href='javascript:alert(1)'>x</a></svg>",
    "<math><mtext></table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=alert(1)&gt;'>",
    "<iframe src=//x.example></iframe><object></object><embed><form action=/nest><input></form>",
    "<style>*{display:none}</style><link rel=stylesheet href=//x.example><base href=//x.example>",
    "<meta http-equiv=refresh content='0;url=//x.example'>",
    "```html\n<script>alert(1)</script>\n```",
    "```<script>\nx\n```",
    "`<script>alert(1)</script>`",
    "|<script>|\n|---|\n|<img src=x onerror=alert(1)>|",
    "<!-- --!><script>alert(1)</script> -->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "# <script>alert(1)</script>",
    "[" * 5000,
    "> " * 5000 + "x",
    "*a_ " * 5000,
    "![" * 2000 + "](x)",
]


class Markup(HTMLParser):
    """What a browser would find."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.addresses: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {(tag, name) for name, _ in attrs}
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_comment(self, data: str) -> None:
        self.tags.add("comment")


@pytest.mark.parametrize("markdown", HOSTILE, ids=lambda text: text[:30])
def test_nothing_that_runs_comes_out(markdown: str) -> None:
    found = Markup(rendered(markdown))
    assert found.tags <= TAGS
    assert found.attributes <= {(tag, name) for tag, names in ATTRIBUTES.items() for name in names} | {("a", "rel")}
    for address in found.addresses:
        scheme = re.match(r"[\s\0-\x1f]*([a-z][a-z0-9+.-]*):", re.sub(r"[\t\r\n]", "", address), re.IGNORECASE)
        assert scheme is None or scheme[1].lower() in ("http", "https", "mailto")


def test_what_markdown_is_for_comes_out() -> None:
    html = rendered('# One\n\n*a* **b** ~~c~~ [d](https://x.example "t")\n\n- e\n\n|f|\n|-|\n|g|\n\n```py\nh < i\n```')
    assert "<h2>One</h2>" in html
    assert '<a href="https://x.example" title="t" rel="noopener noreferrer nofollow">d</a>' in html
    assert {"em", "strong", "s", "ul", "table", "pre"} <= Markup(html).tags
    assert "h &lt; i" in html


def test_a_post_without_an_excerpt_is_told_by_how_it_begins() -> None:
    assert opening(rendered("# Head\n\nfirst <b> & *second*")) == "Head first <b> & second"
    long = opening(rendered("word " * 500))
    assert len(long) <= 280
    assert long.endswith("word…")


def test_what_xml_cannot_hold_is_left_out() -> None:
    assert in_xml("a\x01\x0b\ufffe b\t🦆") == "a b\t🦆"
