"""BibTeX and BibLaTeX files as sources: LaTeX as plain text, people one by one, cross-references followed.

What a source has no place for, or what its own field would refuse, stands in `extra`, a line each; an entry that
cannot be read at all is told of by its place in the file.
"""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from bibtexparser.entrypoint import parse_string
from bibtexparser.middlewares import MonthIntMiddleware
from bibtexparser.middlewares.names import InvalidNameError, parse_single_name_into_parts, split_multiple_persons_names
from bibtexparser.model import DuplicateBlockKeyBlock, DuplicateFieldKeyBlock, Entry, ParsingFailedBlock
from pylatexenc.latex2text import LatexNodes2Text

from crow_hooks import Crow, Data, Invalid, Skipped
from crow_plugins.projects.source import SOURCE, URL
from crow_plugins.rows import Importer, take

NAMES: Final = uuid.UUID("8c1d2f6e-4b1a-5e0c-9a57-3f2b6d7e9c41")  # the namespace of ids of imported entries
DEPTH_MAX = 4  # cross-references followed
KINDS: Final = {
    **dict.fromkeys(("book", "mvbook", "booklet", "proceedings", "mvproceedings", "collection"), "book"),
    **dict.fromkeys(("inbook", "incollection", "suppbook", "inreference"), "chapter"),
    **dict.fromkeys(("inproceedings", "conference"), "paper"),
    **dict.fromkeys(("techreport", "report", "manual"), "report"),
    **dict.fromkeys(("phdthesis", "mastersthesis", "thesis"), "thesis"),
    **dict.fromkeys(("online", "electronic", "www"), "web"),
    **dict.fromkeys(("video", "movie"), "video"),
    **dict.fromkeys(("audio", "music"), "audio"),
    **{kind: kind for kind in ("article", "dataset", "software", "patent")},
}
FIELDS: Final = {  # of several that are there, the first counts, and the others stand in `extra`
    "container": ("journal", "journaltitle", "booktitle", "maintitle"),
    "publisher": ("publisher", "school", "institution", "organization"),
    "volume": ("volume",),
    "issue": ("number", "issue"),
    "pages": ("pages",),
    "edition": ("edition",),
    "doi": ("doi",),
    "isbn": ("isbn",),
    "url": ("url",),
    "accessed": ("urldate",),
    "abstract": ("abstract",),
}
VERBATIM: Final = ("url", "doi", "file", "eprint")
OWN: Final = ("crossref", "xref", "key")  # of an entry alone; those that refer to it have their own

PART: Final = r'(?:"[^"]*"|\{[^{}]*\}|[A-Za-z][\w.-]*|\d+)'
PLAIN: Final = LatexNodes2Text(math_mode="verbatim")

Fields = dict[str, str]


def bibtex(crow: Crow) -> Importer:
    def read(path: Path, dry_run: bool) -> Iterator[Skipped | None]:
        return take(crow, SOURCE, sources(text_of(path.read_bytes())), dry_run)

    return Importer.of("bibtex", "entry", read)


def text_of(data: bytes) -> str:
    """Old files are in Latin-1, of which every byte is a character."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def sources(text: str) -> Iterator[Data | Skipped]:
    """Every entry of a file, as a record of a source or with the reason why it is none."""
    logging.getLogger("bibtexparser").setLevel(logging.CRITICAL)  # what it would log is told of here
    library = parse_string(text, append_middleware=[MonthIntMiddleware()])
    strings = {name.lower(): _joined(str(each.value), {}) for name, each in library.strings_dict.items()}
    own = {entry.key: _fields(entry, strings) for entry in library.entries}
    entries = {key.lower(): fields for key, fields in own.items()} | own  # old files refer to a key in any case
    blocks = (block for block in library.blocks if isinstance(block, Entry | ParsingFailedBlock))
    for position, block in enumerate(blocks, 1):
        if isinstance(block, Entry):
            yield record(block.entry_type.lower(), block.key, inherited(block.key, entries))
        else:
            yield Skipped(position, f"line {(block.start_line or 0) + 1}: {_reason(block)}")


def _reason(block: ParsingFailedBlock) -> str:
    if isinstance(block, DuplicateBlockKeyBlock):
        return f"its key {block.key} was used before; give it another one"
    if isinstance(block, DuplicateFieldKeyBlock):
        return f"it has {', '.join(sorted(block.duplicate_keys))} more than once; leave one"
    return "it is broken: look for a brace, quotation mark or comma that is missing"


def _fields(entry: Entry, strings: Mapping[str, str]) -> Fields:
    return {field.key.lower(): _joined(str(field.value), strings) for field in entry.fields}


def _joined(value: str, strings: Mapping[str, str]) -> str:
    """`"a" # b # {c}` as one text; the parser leaves such values as they stand."""
    if not re.fullmatch(rf"{PART}(\s*#\s*{PART})+", value.strip()):
        return value
    parts = re.findall(PART, value)
    return "".join(strings.get(part.lower(), part) if part[0] not in '"{' else part[1:-1] for part in parts)


def inherited(key: str, entries: Mapping[str, Fields], depth: int = DEPTH_MAX) -> Fields:
    """An entry's fields, with those of the one that it refers to where it has none of its own."""
    fields = entries[key]
    named = fields.get("crossref", "").strip()
    parent = named if named in entries else named.lower()
    if parent not in entries or not depth:
        return dict(fields)
    given = inherited(parent, entries, depth - 1)
    if "title" in given:  # a part's book is called what the whole is called
        given.setdefault("booktitle", given.pop("title"))
    own = {name: value for name, value in given.items() if name not in OWN}
    return {**own, **{name: value for name, value in fields.items() if name != "crossref"}}


def record(entry_type: str, key: str, fields: Fields) -> Data:
    """An entry as `crow import` takes a source: what is left when every field has taken its own stands in `extra`."""
    left = {name: _said(name, value) for name, value in fields.items()}
    title = ": ".join(part for part in (left.pop("title", ""), left.pop("subtitle", "")) if part)
    values = {
        "id": str(uuid.uuid5(NAMES, f"{key}\n{title}".lower())),
        "source_kind": KINDS.get(entry_type, "other"),
        "citation_key": key,
        "title": title,
        **_people(fields, left),
        **_date(left),
        **_address(left),
        **_placed(left),
        **_tags(left),
    }
    return {**values, "extra": "\n".join(f"{name}: {value}" for name, value in left.items() if value) or None}


def _said(name: str, value: str) -> str:
    if name in VERBATIM:
        return re.sub(r"\\([_%&#~])", r"\1", re.sub(r"^\\url\{(.*)\}$", r"\1", value)).strip("{} ")
    return plain(value).replace("–", "-") if name == "pages" else plain(value)


def plain(value: str) -> str:
    """LaTeX as the text it stands for, on one line; formulas stay as they are."""
    return " ".join(str(PLAIN.latex_to_text(value)).split())


def _people(fields: Fields, left: Fields) -> dict[str, object]:
    """Who wrote it and who edited it, one by one; that there are others is left."""
    values: dict[str, object] = {}
    for name in ("author", "editor"):
        people = [person(each) for each in split_multiple_persons_names(fields.get(name, "").strip())]
        values[f"{name}s"] = [each for each in people if each and each != "others"]
        left.pop(name, None)
        if "others" in people:
            left[f"{name}s"] = "and others"
    return values


def person(name: str) -> str:
    """`von Family, Suffix, Given`, or what has one part only."""
    try:
        parts = parse_single_name_into_parts(name)
    except InvalidNameError:
        return plain(name)
    given, family, suffix = (plain(" ".join(each)) for each in (parts.first, [*parts.von, *parts.last], parts.jr))
    if not given:
        return family.replace(",", "")
    return ", ".join(part for part in (family, suffix, given) if part)


def _date(left: Fields) -> dict[str, object]:
    """When it appeared, as exactly as is said and understood."""
    if _fits("date", left.get("date", "")):
        return {"date": left.pop("date")}
    if not _fits("date", left.get("year", "")):
        return {}
    year, month = left.pop("year"), left.get("month", "")
    whole = f"{year}-{int(month):02}" if month.isdecimal() else ""
    if not _fits("date", whole):
        return {"date": year}
    left.pop("month")
    return {"date": whole}


def _address(left: Fields) -> dict[str, object]:
    """Where it is on the web, if that stands in the field that older files have for it."""
    found = re.search(URL, left.get("howpublished", "").replace("<", " ").replace(">", " "))
    if found is None or left.get("url"):
        return {}
    left.pop("howpublished")
    return {"url": found[0]}


def _placed(left: Fields) -> dict[str, object]:
    """The fields that have the same meaning in a source."""
    values: dict[str, object] = {}
    for name, spellings in FIELDS.items():
        spelling = next((each for each in spellings if left.get(each)), "")
        if _fits(name, left.get(spelling)):
            values[name] = left.pop(spelling)
    return values


def _tags(left: Fields) -> dict[str, object]:
    tags = [tag.strip() for tag in re.split(r"[,;]", left.get("keywords", "")) if tag.strip()]
    if not _fits("tags", tags):
        return {}
    left.pop("keywords")
    return {"tags": tags}


def _fits(name: str, value: object) -> bool:
    """Whether a source takes this; what it does not take is kept in `extra`."""
    try:
        return bool(value) and SOURCE.clean({name: value})[name] is not None
    except Invalid:
        return False
