"""What a person typed, as expressions of the full-text index. No database here: the index's tokenizer is handed in.

A word is looked for by its stem. The last word may still be on its way, so its beginning counts too; and since the
index holds stems, which may be shorter than what was typed so far ("computi", of which the index knows "comput"),
so do the stems of the words that it may become. Every word goes into an expression quoted: no text is syntax.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from crow_plugins.memories.schema import UNSPACED

WORDS_MAX = 24  # of a text pasted whole, the first ones say enough
BEGINNING_LETTERS_MIN = 3
PHRASES_MAX = 4


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a text: where it stands in the text's UTF-8 bytes, and what a tokenizer made of it."""

    start: int
    end: int
    text: str


Tokenize = Callable[[bytes], list[Token]]


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """The index's way to read text: words folded (lower case, no accents), and folded words cut to their stems."""

    folds: Tokenize
    stems: Tokenize

    def stem(self, word: str) -> str:
        return " ".join(token.text for token in self.stems(word.encode()))


@dataclass(frozen=True, slots=True)
class Word:
    """A word as typed, in lower case; without accents; and its stem."""

    typed: str
    folded: str
    stem: str


@dataclass(frozen=True, slots=True)
class Query:
    """The words that carry the question, each once; words that stand beside each other; and the last word, if it
    may still be on its way."""

    words: tuple[Word, ...]
    neighbours: tuple[tuple[str, str], ...]
    unfinished: Word | None


# Words that a question is put with. In other languages only those that are no English word of substance.
STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being between both but by can could did
    do does doing during each few find for from further get had has have having he her here hers him his how i if in
    into is it its itself just know let like me more most my myself need of off on once only or other our ours out over
    own please same she should show so some such tell than that the their theirs them then there these they thing this
    those through to too under until up us use used using very want was we were what when where which while who whom
    why will with would you your yours

    aber als auch auf aus bei bin das dass dem den der des dich dir du ein eine einem einen einer eines er es für haben
    hatte ich ihr im ist ja kann kein keine mein meine mich mir mit nach nicht noch oder sich sie sind und uns von vom
    wann warum welche wer wie wir wo zu zum zur
    au aux avec ce cette comment dans de des donc elle elles est et être il ils je la le les leur lui ma mais mes mon
    nous où par pas pour quand que quel quelle qui sa sans ses sont sur ta tes toi très tu un une vous
    al con cómo cuál cuándo del dónde el ella en eran era ese esta este la las lo los más mi muy para pero por porque
    qué que quién se su sus una uno y ya
    che chi come con cosa da dei del della di dove e gli il nel nella per perché più quale quando sono una
    """.split()  # noqa: SIM905  # read as text
)
# What may still follow a beginning. The stemmer takes these off, so their first letters may stand typed past the stem.
ENDINGS = (
    "ing", "ings", "ed", "er", "ers", "es", "ies", "ied", "ion", "ions", "ation", "ations", "ational", "ator",
    "ization", "ment", "ments", "ness", "fulness", "ousness", "iveness", "able", "ible", "ability", "ibility", "ance", "ence",
    "ancy", "ency", "ical", "ically", "ity", "ive", "ively", "ize", "izer", "ism", "ist", "ous", "ful", "ally", "ly",
)  # fmt: skip
# Put behind a stem, one of these is taken off again: the way to name a stem that the stemmer would shorten.
NEUTRAL_ENDINGS = ("ness", "s", "ed", "ing", "e", "ful", "ly", "ational", "ize")
# The same word in two spellings that folding does not make equal.
SPELLINGS = (
    ("ß", "ss"), ("ä", "ae"), ("ö", "oe"), ("ü", "ue"), ("æ", "ae"), ("œ", "oe"), ("ø", "o"), ("ø", "oe"), ("ł", "l"),
    ("đ", "d"), ("å", "aa"),
)  # fmt: skip
SPELLINGS_MAX = 6

_ELIDED = re.compile(r"\b(?:[cdjlmnst]|qu)['’](?=\w)|n['’]t\b|(?<=\w)['’](?:s|m|re|ve|ll|d)\b", re.IGNORECASE)
_UNSPACED = re.compile(UNSPACED.strip("*"))
_CONTINUED = re.compile(f"{UNSPACED.strip('*')}|[가-힣]")


def read(text: str, tokenizers: Tokenizers) -> Query:
    """The words of any text; none if it has none."""
    data = _ELIDED.sub(" ", text).lower().encode("utf-8", "replace")
    folds, stems = tokenizers.folds(data), tokenizers.stems(data)
    words = [
        Word(data[fold.start : fold.end].decode(), fold.text, stem.text)
        for fold, stem in zip(folds, stems, strict=True)
    ]
    telling = [word for word in words if word.typed not in STOP_WORDS] or words
    distinct = tuple({word.stem: word for word in telling}.values())[:WORDS_MAX]
    is_last = bool(folds) and folds[-1].end == len(data) and words[-1] in distinct
    return Query(distinct, _neighbours(words, distinct), words[-1] if is_last else None)


def _neighbours(words: Sequence[Word], distinct: Sequence[Word]) -> tuple[tuple[str, str], ...]:
    """Pairs of words side by side, at least one of which carries the question."""
    pairs = itertools.pairwise(words)
    telling = [(one.folded, other.folded) for one, other in pairs if one in distinct or other in distinct]
    return tuple(telling[:PHRASES_MAX])


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def exact(word: Word) -> str:
    """The word in any of its forms. Scripts without spaces, and Korean with its particles, match as beginnings."""
    return f"{quoted(word.folded)} *" if _CONTINUED.search(word.folded) else quoted(word.folded)


def begun(word: Word, tokenizers: Tokenizers) -> str:
    """The word, or any that begins so; from three letters on."""
    if not _is_beginning(word):
        return exact(word)
    return any_of([exact(word), f"{quoted(naming(word.folded, tokenizers) or word.folded)} *"])


def _is_beginning(word: Word) -> bool:
    return len(word.folded) >= BEGINNING_LETTERS_MIN and not _CONTINUED.search(word.folded)


def naming(stem: str, tokenizers: Tokenizers) -> str | None:
    """A word of exactly this stem, where the stemmer would shorten the stem itself ("bus" to "bu"); or None."""
    return next((stem + end for end in ("", *NEUTRAL_ENDINGS) if tokenizers.stem(stem + end) == stem), None)


def becoming(word: Word, tokenizers: Tokenizers) -> list[str]:
    """Expressions for the stems, shorter than what was typed, of words that begin so."""
    text = word.folded
    completed = {
        text + ending[length:]
        for ending in ENDINGS
        for length in range(1, len(ending))
        if text.endswith(ending[:length]) and len(text) - length >= BEGINNING_LETTERS_MIN
    }
    by_stem = {tokenizers.stem(each): each for each in sorted(completed)}
    return [quoted(each) for stem, each in by_stem.items() if not stem.startswith(text) and stem != word.stem]


def spelled(word: Word) -> list[str]:
    """Expressions for other spellings of the same word."""
    pairs = (*SPELLINGS, *((other, one) for one, other in SPELLINGS))
    others = {word.typed.replace(one, other) for one, other in pairs if one in word.typed}
    return [quoted(text) for text in sorted(others)][:SPELLINGS_MAX]


def unspaced(query: Query) -> bool:
    """Whether a word is of a script without spaces, so that it may stand in the middle of a longer run."""
    return any(_UNSPACED.search(word.folded) for word in query.words)


def together(forms: Sequence[str], query: Query) -> str:
    """All of the words; neighbours that are neighbours in the text as well count more, and exclude nothing."""
    beside = [quoted(f"{one} {other}") for one, other in query.neighbours]
    return any_of([all_of(forms), all_of([*forms, any_of(beside)])]) if beside else all_of(forms)


def recognized(query: Query) -> Callable[[str], bool]:
    """Whether a stem of a text is one that the query asks for."""
    stems = {word.stem for word in query.words}
    beginnings = tuple(word.folded for word in query.words if word == query.unfinished and _is_beginning(word))
    runs = [word.folded for word in query.words if _CONTINUED.search(word.folded)]
    return lambda stem: stem in stems or stem.startswith(beginnings) or any(run in stem for run in runs)


def any_of(expressions: Iterable[str]) -> str:
    return "(" + " OR ".join(expressions) + ")"


def all_of(expressions: Iterable[str]) -> str:
    return "(" + " AND ".join(expressions) + ")"
