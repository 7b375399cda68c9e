"""What a person types about memories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from crow_hooks import Answer, Command
from crow_plugins.memories.memories import Memories


def commands(memories: Memories) -> Sequence[Command]:
    def remember(
        content: str, /, *, category: str = "general", importance: int = 5, tag: tuple[str, ...] = ()
    ) -> object:
        """Store a memory.

        Parameters
        ----------
        content
            What to remember.
        category
            One word or two.
        importance
            From 1 (trivia) to 10 (never forget).
        tag
            A word to find it by; give it as often as you like.
        """
        fields = {"content": content, "category": category, "importance": importance, "tags": list(tag)}
        kept = memories.store(fields, by="person")
        return Answer(asdict(kept), f"Remembered as {kept.id}.")

    return [Command("remember", remember)]
