"""A third party's plugin with pages of its own in the Nest: one that is well, and one that is not."""

from __future__ import annotations

from pathlib import Path

from crow_hooks import Crow, Data, NestPage, hookimpl

TEMPLATES = Path(__file__).parent / "templates"


def time(crow: Crow) -> Data:
    return {"now_here": crow.now(), "remark": "<b>tick</b>"}


def broken(crow: Crow) -> Data:
    raise ValueError("the spring is gone")


@hookimpl
def register_nest_pages(crow: Crow) -> list[NestPage]:
    return [
        NestPage("/clock", "Clock", "clock.html", TEMPLATES, time),
        NestPage("/broken", "Broken clock", "clock.html", TEMPLATES, broken),
    ]
