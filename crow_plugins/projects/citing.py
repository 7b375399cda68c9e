"""A source as other people cite it: APA, MLA (9th edition) and Chicago (author-date), in plain text.

The styles are those of the Citation Style Language, as their editors keep them. What their processor leaves undone is
done here: given names in full where the style says so, page ranges in full, American punctuation, and editors or a
title that stand in for the author are said once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from crow_plugins.projects.source import DAY, Source

if TYPE_CHECKING:
    from citeproc import CitationStylesStyle

STYLES: Final = {"apa": "apa", "mla": "modern-language-association", "chicago": "chicago-author-date"}
INITIALS: Final = ("apa",)  # the others have given names in full, by an attribute that the processor does not know
TYPES: Final = {
    "article": "article-journal",
    "book": "book",
    "chapter": "chapter",
    "paper": "paper-conference",
    "report": "report",
    "thesis": "thesis",
    "web": "webpage",
    "news": "article-newspaper",
    "dataset": "dataset",
    "software": "software",
    "video": "motion_picture",
    "audio": "song",
    "law": "legislation",
    "patent": "patent",
}
VARIABLES: Final = {
    "title": "title",
    "publisher": "publisher",
    "container": "container-title",
    "volume": "volume",
    "issue": "issue",
    "pages": "page",
    "edition": "edition",
    "doi": "DOI",
    "isbn": "ISBN",
    "url": "URL",
}

EDITORS: Final = {  # what follows the names, and what is said of one or several editors before it
    "apa": (r"\(", " (Ed.).", " (Eds.)."),
    "mla": (r"{title}", ", editor.", ", editors."),
    "chicago": (r"(\d{{4}}|n\.d\.)", ", ed.", ", eds."),
}


class Citations:
    """Cites sources; each style is read when it is asked for first."""

    def __init__(self) -> None:
        self._styles: dict[str, CitationStylesStyle] = {}
        self._lock = threading.Lock()  # a style keeps what it works on in itself

    def of(self, source: Source) -> dict[str, str]:
        """The citation in every style."""
        return {style: self.cite(source, style) for style in STYLES}

    def cite(self, source: Source, style: str) -> str:
        """The citation in one of `STYLES`."""
        from citeproc import Citation, CitationItem, CitationStylesBibliography, formatter
        from citeproc.source.json import CiteProcJSON

        edited = bool(source.editors) and not source.authors
        shown = replace(source, authors=source.editors, editors=()) if edited else source
        with self._lock:
            items = CiteProcJSON([described(shown)])
            bibliography = CitationStylesBibliography(self._style(style), items, formatter.plain)
            bibliography.register(Citation([CitationItem("source")]))
            [entry] = bibliography.bibliography()
        text = _punctuated(str(entry))
        if edited:
            return _as_editors(text, source, style)
        return text if source.authors else _said_once(text, source.title)

    def _style(self, name: str) -> CitationStylesStyle:
        if name not in self._styles:
            from citeproc import CitationStylesStyle

            style = CitationStylesStyle(STYLES[name], locale="en-US", validate=False)
            style.root.set("page-range-format", "expanded")
            if name not in INITIALS:
                style.root.attrib.pop("initialize-with", None)
            self._styles[name] = style
        return self._styles[name]


def described(source: Source) -> Mapping[str, object]:
    """The source in the words of the Citation Style Language."""
    values: dict[str, object] = {"id": "source", "type": TYPES.get(source.kind, "document"), "language": "en"}
    values |= {variable: getattr(source, name) for name, variable in VARIABLES.items() if getattr(source, name)}
    for variable, people in {"author": source.authors, "editor": source.editors}.items():
        if people:
            values[variable] = [person(each) for each in people]
    for variable, day in {"issued": source.date, "accessed": source.accessed}.items():
        if day and re.fullmatch(DAY, day):
            values[variable] = {"date-parts": [[int(part) for part in day.split("-")]]}
    return values


def person(name: str) -> Mapping[str, str]:
    """`Family, Given` or `Family, Suffix, Given`; a name without a comma is an organisation's, or one of a kind."""
    parts = [part.strip() for part in name.split(",")]
    if len(parts) == 1 or not all(parts):
        return {"literal": name}
    given = {"family": parts[0], "given": parts[-1]}
    return given if len(parts) == 2 else {**given, "suffix": " ".join(parts[1:-1])}


def _punctuated(text: str) -> str:
    """A full stop and a comma stand inside quotation marks, and no full stop after a question mark."""
    text = re.sub("([”’]+)([.,])", r"\2\1", text)
    text = re.sub(r"(?<=\.) Edition\.", "", text)  # what the Chicago style says where there is none
    return re.sub(r"([?!])\.", r"\1", text)


def _as_editors(text: str, source: Source, style: str) -> str:
    """Say of the people in the author's place what they did."""
    before, one, several = EDITORS[style]
    end = re.search(before.format(title=re.escape(source.title)), text, flags=re.IGNORECASE)
    if end is None:
        return text
    names = text[: end.start()].rstrip(" “")
    rest = text[len(names) :]
    bare = names if style == "apa" or names.endswith("al.") else names.removesuffix(".")
    return bare + (one if len(source.editors) == 1 else several) + rest


def _said_once(text: str, title: str) -> str:
    places = list(re.finditer(re.escape(title), text, flags=re.IGNORECASE))
    if len(places) < 2:
        return text
    again = places[1]
    before = text[: again.start()].removesuffix("“")
    return before + re.sub(r"^[.,?!”]*\s*", "", text[again.end() :])
