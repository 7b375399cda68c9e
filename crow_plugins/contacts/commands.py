"""What a person types about contacts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crow_hooks import Answer, Command, Crow
from crow_plugins.contacts.interchange import export_cards
from crow_plugins.files import create_private
from crow_plugins.wording import plural


def commands(crow: Crow) -> Sequence[Command]:
    def vcards(file: Path, /) -> Answer:
        """Write every contact to a file of vCards, for a phone or a mail program.

        Parameters
        ----------
        file
            Where to; a file that exists is left alone.
        """
        cards = list(export_cards(crow))
        create_private(file, "".join(cards).encode())
        return Answer(
            {"exported": len(cards), "file": str(file)}, f"Exported {plural(len(cards), 'contact')} to {file}"
        )

    return [Command("vcards", vcards)]
