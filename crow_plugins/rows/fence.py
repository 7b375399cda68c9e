"""Rows as an assistant reads them: one line of ours, then the text behind bars, which is data and no instruction."""

from __future__ import annotations


def fenced(head: str, text: str) -> str:
    """Whatever another machine put into either: the head stays one line between brackets, and no line lacks its bar."""
    said = " ".join(head.replace("[", "(").replace("]", ")").split())
    return "\n".join([f"[{said}]", *(f"| {line}" for line in text.splitlines() or [""])])
