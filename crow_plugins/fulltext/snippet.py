"""The place in a text that matched, cut out of it with the matched words marked. Pure: the tokenizer is handed in.

Made here rather than by the index, which would look every beginning of a word up again for each row that it shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crow_plugins.fulltext.query import Token, Tokenize

WORDS_MAX, LEAD_WORDS = 24, 4  # shown, and how many of them before the first that matches
STRETCHES_MAX = 64  # places compared; a text that matches everywhere needs no better one
PIECE_CHARACTERS, OVERLAP_CHARACTERS = 4 * 1024, 64  # of a long text, tokenized at once; no word is cut in two
MARK, CUT = b"**", "…"
TITLE_CHARACTERS = 80


def snippet(text: str, matches: Callable[[str], bool], tokenize: Tokenize) -> str | None:
    """The stretch of the text with the most matching stems, or None if no stem matches."""
    for start in range(0, len(text), PIECE_CHARACTERS):
        stop = start + PIECE_CHARACTERS + OVERLAP_CHARACTERS
        data = text[start:stop].encode("utf-8", "replace")
        tokens = tokenize(data)
        matched = [place for place, token in enumerate(tokens) if matches(token[2])]
        if matched:
            shown = _stretch(tokens, matched)
            before = CUT if start > 0 or shown.start > 0 else ""
            after = CUT if shown.stop < len(tokens) or stop < len(text) else ""
            return before + _marked(data, tokens, shown, set(matched)) + after
    return None


def opening(text: str) -> str:
    """The beginning of a text in which nothing is to be marked."""
    words = text[:PIECE_CHARACTERS].split(None, WORDS_MAX)
    shown = text.strip() if len(words) <= WORDS_MAX else " ".join(words[:WORDS_MAX])
    return shown if len(shown) == len(text.strip()) else shown + CUT


def title_of(text: str) -> str:
    """The first line, cut at a length that a list can show."""
    line = next((line.strip() for line in text.splitlines() if line.strip()), "")
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1].rstrip() + CUT


def _stretch(tokens: Sequence[Token], matched: Sequence[int]) -> range:
    """The places to show: where the most different stems match, and of such where the most words do."""

    def worth(number: int) -> tuple[int, int]:
        end = matched[number] + WORDS_MAX - LEAD_WORDS
        inside = [tokens[place][2] for place in matched[number : number + WORDS_MAX] if place < end]
        return len(set(inside)), len(inside)

    best = max(range(min(len(matched), STRETCHES_MAX)), key=worth)
    first = max(0, min(matched[best] - LEAD_WORDS, len(tokens) - WORDS_MAX))
    return range(first, min(first + WORDS_MAX, len(tokens)))


def _marked(data: bytes, tokens: Sequence[Token], shown: range, matched: set[int]) -> str:
    """The shown words with what stands between them; at the ends of the text also what stands around them."""
    at = 0 if shown.start == 0 else tokens[shown.start][0]
    stop = len(data) if shown.stop == len(tokens) else tokens[shown.stop - 1][1]
    parts: list[bytes] = []
    for start, end, _ in (tokens[place] for place in shown if place in matched):
        parts += [data[at:start], MARK, data[start:end], MARK]
        at = end
    return b"".join([*parts, data[at:stop]]).decode().strip()
