"""Contacts in vCards, the format that phones and mail programs exchange: bytes in, fields out; no file, no database.

Read is version 2.1, 3.0 or 4.0, in whatever charset. vobject takes the lines apart (folding, quoted-printable, groups,
parameters); what a line means is said here, since vobject drops what stands behind an unescaped comma. A property that
a contact has no place for (a photo, a ringtone) is left out.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vobject.base import VObjectError, getLogicalLines, textLineToContentLine
from vobject.icalendar import stringToTextValues
from vobject.vcard import splitFields

from crow_hooks import CrowError, Invalid
from crow_plugins.contacts.contact import ADDRESS, CONTACT
from crow_plugins.store.synced import row_id_of

CARD_BYTES_MAX = 4 * 1024 * 1024  # with a photo, which is left out
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NO_LABEL = frozenset({"internet", "pref", "voice", "x400", "uri"})  # kinds that nobody would call a label
BOX, EXTENDED, STREET = 0, 1, 2  # the first fields of an address; those of `ADDRESS` but the label follow


class BadCard(CrowError):
    """Text that stands where a vCard should, and is none."""

    code = "bad_card"

    def __init__(self) -> None:
        super().__init__("is no vCard that can be read; export it anew where it comes from")


@dataclass(frozen=True, slots=True)
class Card:
    """One vCard: the id and the fields that its contact has."""

    row_id: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Line:
    """One property as it stands, its text still escaped; `params` in capitals, `kinds` in small letters."""

    value: str
    group: str | None
    params: frozenset[str]
    kinds: tuple[str, ...]


Lines = Mapping[str, Sequence[Line]]


def cards(data: bytes) -> Iterator[bytes]:
    """Each card of a file, however its lines end; what stands between cards is one too, to be refused."""
    card: list[bytes] = []
    for line in _in_bytes_of_ascii(data).splitlines(keepends=True):
        if line.strip().upper() == b"BEGIN:VCARD" and any(each.strip() for each in card):
            yield b"".join(card)
            card = []
        card.append(line)
        if line.strip().upper() == b"END:VCARD":
            yield b"".join(card)
            card = []
    if any(line.strip() for line in card):
        yield b"".join(card)


def read(data: bytes) -> Card:
    """Raises `BadCard` for what is no vCard, `Invalid` for one that makes no contact."""
    if len(data) > CARD_BYTES_MAX:
        raise Invalid(f"is longer than {CARD_BYTES_MAX >> 20} MiB; take the photo out")
    lines = _lines(_decoded(data))
    fields = CONTACT.clean(
        {
            "name": _name(lines),
            "emails": _labelled(lines, "EMAIL", "address"),
            "phones": _labelled(lines, "TEL", "number"),
            "addresses": _listed(lines, "ADR", _address),
            "urls": _labelled(lines, "URL", "url"),
            "organisation": _organisation(lines),
            "title": ", ".join(_texts(lines, "TITLE")),
            "birthday": _birthday(lines),
            "notes": "\n\n".join(_texts(lines, "NOTE")),
            "tags": [tag for line in lines.get("CATEGORIES", ()) for tag in stringToTextValues(line.value)],
        }
    )
    return Card(_row_id(lines, fields), fields)


def _in_bytes_of_ascii(data: bytes) -> bytes:
    """Files in UTF-16 say so in their first bytes; in every other charset the words of the format are ASCII."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace").encode()
    return data.removeprefix(b"\xef\xbb\xbf")


def _decoded(data: bytes) -> str:
    """UTF-8 where it is that, whatever else it says; else what it says, else what old Windows programs wrote."""
    data = re.sub(rb"(?<=[\x80-\xff])\r?\n[ \t](?=[\x80-\xbf])", b"", data)  # a line folded within a character
    said = re.search(rb"CHARSET=\"?([\w.:-]+)", data, re.IGNORECASE)
    declared = [said[1].decode("ascii", "replace")] if said else []
    seven_bits = b"\x1b" in data  # a charset that shifts with escapes, and reads as UTF-8 too
    for charset in [*(declared if seven_bits else []), "utf-8", *declared, "cp1252"]:
        try:
            text = data.decode(charset)
        except (UnicodeDecodeError, LookupError):
            continue
        if "BEGIN:VCARD" in text.upper():
            return text
    raise BadCard


def _lines(text: str) -> Lines:
    """The properties by name, in capitals. Raises `BadCard`."""
    quoted = re.sub(r";(ENCODING=)?quoted-printable(?=[;:])", ";ENCODING=QUOTED-PRINTABLE", text, flags=re.IGNORECASE)
    try:
        found = [textLineToContentLine(*each) for each in getLogicalLines(io.StringIO(quoted, newline=None))]
    # What a parser that was not made for hostile text raises on it.
    except (VObjectError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise BadCard from error
    ends = [(line.name, str(line.value).strip().upper()) for line in found if line.name in ("BEGIN", "END")]
    if ends != [("BEGIN", "VCARD"), ("END", "VCARD")] or found[0].name != "BEGIN" or found[-1].name != "END":
        raise BadCard
    lines: dict[str, list[Line]] = {}
    for line in found:
        lines.setdefault(line.name, []).append(_line(line))
    return lines


def _line(line: Any) -> Line:
    named = [*line.params.get("TYPE", []), *line.singletonparams]
    kinds = tuple(kind.strip().lower() for each in named for kind in str(each).split(","))
    return Line(str(line.value), line.group, frozenset(line.params), kinds)


def _name(lines: Lines) -> str:
    """As it is shown, else as its parts say, else the organisation, else an address."""
    given_first = [" ".join(filter(None, [*reversed(_fields(line)[:2])])) for line in lines.get("N", ())]
    others = [_organisation(lines), *_texts(lines, "NICKNAME"), *_texts(lines, "EMAIL")]
    for text in [*_texts(lines, "FN"), *given_first, *others]:
        if text.strip():
            return text
    raise Invalid("has no name; give it one where it comes from")


def _text(line: Line) -> str:
    """All of it: a comma that should have been escaped stands for itself."""
    return ",".join(stringToTextValues(line.value)).strip()


def _texts(lines: Lines, name: str) -> list[str]:
    return list(filter(None, map(_text, lines.get(name, ()))))


def _fields(line: Line) -> list[str]:
    """The texts between its semicolons."""
    return [(field if isinstance(field, str) else ",".join(field)).strip() for field in splitFields(line.value)]


def _organisation(lines: Lines) -> str:
    """With its departments."""
    return ", ".join(part for line in lines.get("ORG", ()) for part in _fields(line) if part)


def _listed(lines: Lines, name: str, made: Callable[[Line], dict[str, str]]) -> list[dict[str, str]]:
    """One object a line, with its label; lines that say nothing are left out."""
    objects = ((made(line), _label(line, lines)) for line in lines.get(name, ()))
    return [{**parts, "label": label} for parts, label in objects if any(parts.values())]


def _labelled(lines: Lines, name: str, part: str) -> list[dict[str, str]]:
    return _listed(lines, name, lambda line: {part: re.sub(r"^(tel|mailto):", "", _text(line), flags=re.IGNORECASE)})


def _address(line: Line) -> dict[str, str]:
    fields = [*(" ".join(field.split()) for field in _fields(line)), *[""] * len(ADDRESS)]
    street = ", ".join(filter(None, (fields[BOX], fields[EXTENDED], fields[STREET])))
    return {"street": street, **dict(zip(ADDRESS[1:-1], fields[STREET + 1 :], strict=False))}


def _label(line: Line, lines: Lines) -> str:
    for beside in lines.get("X-ABLABEL", ()):
        if line.group and beside.group == line.group:
            return re.sub(r"^_\$!<(.*)>!\$_$", r"\1", _text(beside))
    return next((kind for kind in line.kinds if kind not in NO_LABEL), "")


def _birthday(lines: Lines) -> str | None:
    """None also for a day that is none: half a card is better than no card."""
    for line in lines.get("BDAY", ()):
        found = re.match(r"(\d{4}|-)-?(\d\d)-?(\d\d)(?!\d)", _text(line))
        if found is not None:
            year = "-" if "X-APPLE-OMIT-YEAR" in line.params else found[1]
            try:
                return str(CONTACT.clean({"birthday": f"{year}-{found[2]}-{found[3]}"})["birthday"])
            except Invalid:
                return None
    return None


def _row_id(lines: Lines, fields: Mapping[str, object]) -> str:
    """The card's own UUID; else one made of what it says, so that the same card read again is the same contact."""
    uid = next(iter(_texts(lines, "UID")), "")
    plain = uid.lower().removeprefix("urn:uuid:")
    if UUID.fullmatch(plain):
        return plain
    return row_id_of(f"vcard {uid or json.dumps(fields, sort_keys=True)}")
