"""What a person typed, as expressions of the full-text index. No database here: the index's tokenizer is handed in.

A word is looked for by its stem. The last word may still be on its way, so its beginning counts too; and since the
index holds stems, which may be shorter than what was typed so far ("computi", of which the index knows "comput"),
so do the stems of the words that it may become. Every word goes into an expression quoted: no text is syntax.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

from crow_plugins.fulltext.index import UNSPACED

WORDS_MAX = 24  # of a text pasted whole, the first ones say enough
BEGINNING_LETTERS_MIN = 3


Token = tuple[int, int, str]  # where a word starts and ends in a text's UTF-8 bytes, and what a tokenizer made of it
Tokenize = Callable[[bytes], list[Token]]


@dataclass(frozen=True, slots=True)
class Tokenizers:
    """The index's way to read text: words folded (lower case, no accents), and folded words cut to their stems."""

    folds: Tokenize
    stems: Tokenize

    def stem(self, word: str) -> str:
        return " ".join(stem for _, _, stem in self.stems(word.encode()))


@dataclass(frozen=True, slots=True)
class Word:
    """A word as typed, in lower case; without accents; and its stem."""

    typed: str
    folded: str
    stem: str


@dataclass(frozen=True, slots=True)
class Query:
    """The words that carry the question, each once; the stems that stand side by side; and the last word, if it may
    still be on its way."""

    words: tuple[Word, ...]
    neighbours: frozenset[tuple[str, str]]
    unfinished: Word | None


# Words that a question is put with. In other languages only those that are no English word of substance.
STOP_WORDS = frozenset(
    """
    a about after again all also am an and any are as at be because been before being between both but by can could did
    do does doing during each few find for from further get had has have having he her here hers him his how i if in
    into is it its itself just know let like me more most my myself need not of off on once only or other our ours out
    over own please same she should show so some such tell than that the their theirs them then there these they thing
    this those through to too under until up us use used using very want was we were what when where which while who
    whom why with would you your yours

    aber als auch auf aus bei das dass dem den der dich dir du ein eine einem einen einer eines er es für haben hatte
    ich ihr im ist ja kann kein keine mein meine mich mir nach nicht noch oder sich sie sind und uns von vom wann warum
    welche wer wie wir wo zu zum zur
    au aux avec ce cette comment dans de des donc elle elles est et être etre il ils je la le les leur lui mais mes mon
    nous où ou par pas quand que quel quelle qui ses sont sur tes toi très tu un une vous
    al como cómo con cual cuál cuando cuándo del donde dónde el ella en ese esta este las lo los mas más muy para pero
    por porque qué quien quién se su sus una uno y ya
    che chi cosa da dei della di gli nel nella per perche perché piu più quale quando sono
    """.split()  # noqa: SIM905  # read as text
)
# What may still follow a beginning. The stemmer takes these off, so their first letters may stand typed past the stem.
ENDINGS = (
    "ing", "ings", "ed", "er", "ers", "es", "ies", "ied", "ion", "ions", "ation", "ations", "ational", "ator",
    "ization", "ment", "ments", "ness", "fulness", "ousness", "iveness", "able", "ible", "ability", "ibility",
    "ance", "ence", "ancy", "ency", "ical", "ically", "ity", "ive", "ively", "ize", "izer", "ism", "ist", "ous",
    "ful", "ally", "ly",
)  # fmt: skip
# Put behind a stem, one of these is taken off again: the way to name a stem that the stemmer would shorten.
NEUTRAL_ENDINGS = ("ness", "s", "ed", "ing", "e", "ful", "ly", "ational", "ize")
# One word in two spellings that folding does not make equal.
SPELLINGS = tuple(
    pair.split(",")
    for pair in "ß,ss ä,ae ö,oe ü,ue å,aa æ,ae œ,oe ø,oe ø,o ł,l đ,d ı,i ё,е ά,α έ,ε ή,η ί,ι ό,ο ύ,υ ώ,ω".split()  # noqa: SIM905  # read as text
)
SPELLINGS_MAX, SPELLED_LETTERS_MAX = 24, 40

_ELIDED = re.compile(
    r"\b(?:ca|wo|sha)n['’]t\b|n['’]t\b|(?<=\w)['’](?:s|m|re|ve|ll|d)\b|\b(?:[cdjlmnst]|qu)['’](?=\w)", re.IGNORECASE
)
_UNSPACED = re.compile(UNSPACED.strip("*"))
_CONTINUED = re.compile(f"{UNSPACED.strip('*')}|[가-힣]")


def read(text: str, tokenizers: Tokenizers) -> Query:
    """The words of any text; none if it has none."""
    data, words, ends = _words(_ELIDED.sub(" ", text), tokenizers)
    telling = [word for word in words if word.typed not in STOP_WORDS]
    if not telling:  # then the small words are what is looked for
        data, words, ends = _words(text, tokenizers)
    distinct = tuple({word.stem: word for word in telling or words}.values())[:WORDS_MAX]
    beside = {(one.stem, other.stem) for one, other in pairwise(words) if one in distinct or other in distinct}
    is_last = ends[-1:] == [len(data)] and words[-1] in distinct
    return Query(distinct, frozenset(beside), words[-1] if is_last else None)


def _words(text: str, tokenizers: Tokenizers) -> tuple[bytes, list[Word], list[int]]:
    """The text in lower case, its words, and where they end in it."""
    data = text.lower().encode("utf-8", "replace")
    both = list(zip(tokenizers.folds(data), tokenizers.stems(data), strict=True))
    words = [Word(data[start:end].decode(), fold, stem) for (start, end, fold), (_, _, stem) in both]
    return data, words, [end for (_, end, _), _ in both]


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def exact(word: Word) -> str:
    """The word in any of its forms. Scripts without spaces, and Korean with its particles, match as beginnings."""
    return f"{quoted(word.folded)} *" if _CONTINUED.search(word.folded) else quoted(word.folded)


def begun(word: Word, tokenizers: Tokenizers) -> str:
    """The word, or any that begins so; from three letters on."""
    if not _is_beginning(word):
        return exact(word)
    names = [naming(text, tokenizers) or word.folded for text in _beginnings(word)]
    return any_of([exact(word), *(f"{quoted(name)} *" for name in names)])


def _is_beginning(word: Word) -> bool:
    return len(word.folded) >= BEGINNING_LETTERS_MIN and not _CONTINUED.search(word.folded)


def _beginnings(word: Word) -> list[str]:
    """What stems begin with whose words begin so: a final y may stand there as i."""
    return [word.folded, word.folded[:-1] + "i"] if word.folded.endswith("y") else [word.folded]


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
    by_stem = {tokenizers.stem(each): each for each in sorted(completed, key=len, reverse=True)}  # the shortest stays
    return [quoted(each) for stem, each in by_stem.items() if not stem.startswith(text) and stem != word.stem]


def spelled(word: Word) -> list[str]:
    """Expressions for other spellings of the same word: each change everywhere in it, or in one place."""
    if len(word.typed) > SPELLED_LETTERS_MAX:
        return []
    texts = [word.typed]
    for one, other in (*SPELLINGS, *((other, one) for one, other in SPELLINGS)):
        texts += [new for text in texts[:SPELLINGS_MAX] for new in _respelled(text, one, other) if new not in texts]
    return [quoted(text) for text in texts[1:SPELLINGS_MAX]]


def _respelled(text: str, one: str, other: str) -> set[str]:
    places = [match.start() for match in re.finditer(one, text)]
    return {text.replace(one, other)} - {text} | {text[:at] + other + text[at + len(one) :] for at in places}


def unspaced(query: Query) -> bool:
    """Whether a word is of a script without spaces, so that it may stand in the middle of a longer run."""
    return any(_UNSPACED.search(word.folded) for word in query.words)


def recognized(query: Query) -> Callable[[str], bool]:
    """Whether a stem of a text is one that the query asks for."""
    stems = {word.stem for word in query.words}
    unfinished = [word for word in query.words if word == query.unfinished and _is_beginning(word)]
    beginnings = tuple(text for word in unfinished for text in _beginnings(word))
    runs = [word.folded for word in query.words if _CONTINUED.search(word.folded)]
    return lambda stem: stem in stems or stem.startswith(beginnings) or any(run in stem for run in runs)


def any_of(expressions: Iterable[str]) -> str:
    return "(" + " OR ".join(expressions) + ")"


def all_of(expressions: Iterable[str]) -> str:
    return "(" + " AND ".join(expressions) + ")"
