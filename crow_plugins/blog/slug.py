"""What a post is called in its address, in any script. Pure: no database here.

A stored slug travels and never holds a `~`. Posts that were given one slug on machines apart keep it, and are told
apart where they are shown: the first of them has it bare, the others with a `~` and the beginning of their id.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from crow_hooks import Invalid

SLUG_MAX = 100  # characters
PREFIX_MIN = 6  # hex digits behind the ~
MARK = "~"


def checked(value: object) -> str:
    """A slug as it is stored. Raises `Invalid`."""
    slug = normal(value) if isinstance(value, str) else ""
    if not slug or len(slug) > SLUG_MAX or not all(part and all(map(_speaks, part)) for part in slug.split("-")):
        raise Invalid(
            f"slug is words of letters and digits joined by -, up to {SLUG_MAX} characters, like my-first-post"
        )
    return slug


def normal(text: str) -> str:
    """However it was typed: one spelling of each character, small letters."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text.strip()).lower())


def made_of(title: str) -> str:
    """The words of a title."""
    words = "".join(each if _speaks(each) else " " for each in normal(unicodedata.normalize("NFKC", title))).split()
    slug = ""
    for word in words:
        longer = f"{slug}-{word}" if slug else word[:SLUG_MAX]
        if len(longer) > SLUG_MAX:
            break
        slug = longer
    return slug or "post"


def free(slug: str, is_taken: Callable[[str], bool]) -> str:
    """This slug, or the first of slug-2, slug-3, … that nobody has."""
    if not is_taken(slug):
        return slug
    number = 2
    while is_taken(numbered := f"{slug[: SLUG_MAX - len(str(number)) - 1].rstrip('-')}-{number}"):
        number += 1
    return numbered


def shown(slug: str, row_id: str, ids: Sequence[str]) -> str:
    """How a row shows its slug; `ids` are all rows that have it, the oldest first."""
    if ids[0] == row_id:
        return slug
    own, *others = (each.replace("-", "") for each in (row_id, *(other for other in ids if other != row_id)))
    length = PREFIX_MIN
    while any(other.startswith(own[:length]) for other in others):
        length += 1
    return f"{slug}{MARK}{own[:length]}"


def _speaks(character: str) -> bool:
    """A letter, a digit, or a mark that belongs to one."""
    return unicodedata.category(character)[0] in "LNM"
