"""Contacts as vCards, the format that phones and mail programs exchange. Text in, fields out; no file, no database.

What is read is version 2.1, 3.0 or 4.0; what is written is 3.0, which everything reads. A property that a contact has
no place for (a photo, a ringtone) is left out and named.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import vobject
from vobject.base import VObjectError

from crow_hooks import CrowError, Invalid
from crow_plugins.contacts.contact import ADDRESS, Contact, clean
from crow_plugins.store.synced import row_id_of

CARD_BYTES_MAX = 4 * 1024 * 1024  # with a photo, which is left out
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT = frozenset({"fn", "n", "email", "tel", "adr", "org", "title", "bday", "note", "categories", "uid"})
PLUMBING = frozenset({"version", "prodid", "rev", "x-ablabel"})  # says nothing of the person
NO_LABEL = frozenset({"internet", "pref", "voice", "x400"})  # kinds that nobody would call a label
PARTS = {"street": "street", "city": "city", "region": "region", "postal_code": "code", "country": "country"}


class BadCard(CrowError):
    """Text that stands where a vCard should, and is none."""

    code = "bad_card"

    def __init__(self) -> None:
        super().__init__("is no vCard that can be read; export it anew where it comes from")


@dataclass(frozen=True, slots=True)
class Card:
    """One vCard: the id and the fields that its contact has, and the names of the properties left out."""

    row_id: str
    fields: Mapping[str, object]
    left_out: tuple[str, ...]


def cards(data: bytes) -> Iterator[bytes]:
    """Each card of a file, however its lines end; what stands between cards is one too, to be refused."""
    lines = data.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True)
    card: list[bytes] = []
    for line in lines:
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
    contents = _parsed(data)
    wanted: dict[str, object] = {
        "name": _name(contents),
        "emails": [{"address": _text(each), "label": _label(each, contents)} for each in contents.get("email", [])],
        "phones": [{"number": _number(each), "label": _label(each, contents)} for each in contents.get("tel", [])],
        "addresses": [_address(each, contents) for each in contents.get("adr", [])],
        "organisation": ", ".join(_texts(contents, "org")),
        "title": ", ".join(_texts(contents, "title")),
        "birthday": _birthday(contents),
        "notes": "\n\n".join(_texts(contents, "note")),
        "tags": [text for each in _texts(contents, "categories") for text in [each] if text],
    }
    for name in ("emails", "phones", "addresses"):
        wanted[name] = [each for each in wanted[name] if any(each[text] for text in each if text != "label")]  # type: ignore[attr-defined]  # lists
    fields = clean(wanted)
    left_out = sorted({name for name in contents if name not in KEPT | PLUMBING})
    return Card(_row_id(contents, fields), fields, tuple(left_out))


def written(contact: Contact) -> str:
    """A contact as a vCard 3.0, lines ended and folded as it should be."""
    card = vobject.vCard()
    _add(card, "uid", f"urn:uuid:{contact.id}")
    _add(card, "fn", contact.name)
    given, _, family = contact.name.rpartition(" ")
    _add(card, "n", vobject.vcard.Name(family=family, given=given))
    for email in contact.emails:
        _add(card, "email", email["address"], email["label"])
    for phone in contact.phones:
        _add(card, "tel", phone["number"], phone["label"])
    for address in contact.addresses:
        parts = {part: address[name] for name, part in PARTS.items()}
        _add(card, "adr", vobject.vcard.Address(**parts), address["label"])
    if contact.tags:
        _add(card, "categories", list(contact.tags))
    if contact.organisation:
        _add(card, "org", [contact.organisation])
    for name, text in {"title": contact.title, "bday": contact.birthday, "note": contact.notes}.items():
        if text:
            _add(card, name, text)
    return str(card.serialize())


def _add(card: Any, name: str, value: object, label: str = "") -> None:
    """A label goes along as a property beside it, in which any text may stand."""
    line = card.add(name)
    line.value = value
    if label:
        line.group = f"item{len(list(card.getChildren()))}"
        beside = card.add("x-ablabel")
        beside.group, beside.value = line.group, label


def _parsed(data: bytes) -> Mapping[str, Sequence[Any]]:
    try:
        card = vobject.readOne(data.decode())
        if card is None or card.name != "VCARD":
            raise BadCard
        return {name: list(lines) for name, lines in card.contents.items()}
    # What a parser that was not made for hostile text raises on it.
    except (VObjectError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise BadCard from error


def _name(contents: Mapping[str, Sequence[Any]]) -> str:
    """As it is shown, else as its parts say, else the organisation, else an address."""
    for name in ("fn", "n", "org", "nickname", "email"):
        for text in _texts(contents, name):
            if text.strip():
                return text
    raise Invalid("has no name; give it one where it comes from")


def _texts(contents: Mapping[str, Sequence[Any]], name: str) -> list[str]:
    return [text for line in contents.get(name, []) for text in _parts(line.value)]


def _parts(value: object) -> list[str]:
    if isinstance(value, list | tuple):
        return [part for each in value for part in _parts(each)]
    return [" ".join(str(value).split(" ")).strip()]


def _text(line: Any) -> str:
    return " ".join(_parts(line.value))


def _number(line: Any) -> str:
    return re.sub(r"^tel:", "", _text(line), flags=re.IGNORECASE)


def _address(line: Any, contents: Mapping[str, Sequence[Any]]) -> dict[str, str]:
    value = line.value
    lines = [", ".join(filter(None, _parts(getattr(value, part, "")))) for part in ("box", "extended", "street")]
    parts = {name: ", ".join(filter(None, _parts(getattr(value, part, "")))) for name, part in PARTS.items()}
    made = {**parts, "street": ", ".join(filter(None, lines)), "label": _label(line, contents)}
    return {name: made[name] for name in ADDRESS}


def _label(line: Any, contents: Mapping[str, Sequence[Any]]) -> str:
    for beside in contents.get("x-ablabel", []):
        if line.group and beside.group == line.group:
            return re.sub(r"^_\$!<(.*)>!\$_$", r"\1", _text(beside))
    named = [*line.params.get("TYPE", []), *line.singletonparams]
    kinds = [kind.lower() for each in named for kind in str(each).split(",")]
    return next((kind for kind in kinds if kind not in NO_LABEL), "")


def _birthday(contents: Mapping[str, Sequence[Any]]) -> str | None:
    """None also for a day that is none: half a card is better than no card."""
    text = next(iter(_texts(contents, "bday")), "")
    found = re.match(r"(\d{4}|-)-?(\d\d)-?(\d\d)(?!\d)", text)
    if found is None:
        return None
    try:
        day = "-".join(found.groups())
        return str(clean({"birthday": day})["birthday"])
    except Invalid:
        return None


def _row_id(contents: Mapping[str, Sequence[Any]], fields: Mapping[str, object]) -> str:
    """The card's own UUID; else one made of what it says, so that the same card read again is the same contact."""
    uid = next(iter(_texts(contents, "uid")), "").strip()
    plain = uid.lower().removeprefix("urn:uuid:")
    if UUID.fullmatch(plain):
        return str(uuid.UUID(plain))
    return row_id_of(f"vcard {uid or json.dumps(fields, sort_keys=True)}")
