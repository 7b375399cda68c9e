"""A contact as a vCard 3.0, which everything reads; what is written here is read again as it was."""

from __future__ import annotations

from typing import Any

import vobject

from crow_plugins.contacts.contact import Contact

PARTS = {"street": "street", "city": "city", "region": "region", "postal_code": "code", "country": "country"}


def written(contact: Contact) -> str:
    """Its lines are ended and folded as they should be."""
    card = vobject.vCard()
    _add(card, "uid", f"urn:uuid:{contact.id}")
    _add(card, "fn", contact.name)
    given, _, family = contact.name.rpartition(" ")
    _add(card, "n", vobject.vcard.Name(family=family, given=given))
    _add_lists(card, contact)
    if contact.tags:
        _add(card, "categories", list(contact.tags))
    if contact.organisation:
        _add(card, "org", [contact.organisation])
    for name, text in {"title": contact.title, "bday": contact.birthday, "note": contact.notes}.items():
        if text:
            _add(card, name, text)
    return str(card.serialize())


def _add_lists(card: Any, contact: Contact) -> None:
    for email in contact.emails:
        _add(card, "email", email["address"], email["label"])
    for phone in contact.phones:
        _add(card, "tel", phone["number"], phone["label"])
    for url in contact.urls:
        _add(card, "url", url["url"], url["label"])
    for address in contact.addresses:
        parts = {part: address[name] for name, part in PARTS.items()}
        _add(card, "adr", vobject.vcard.Address(**parts), address["label"])


def _add(card: Any, name: str, value: object, label: str = "") -> None:
    """A label goes along as a property beside it, in which any text may stand."""
    line = card.add(name)
    line.value = value
    if label:
        line.group = f"item{len(list(card.getChildren()))}"
        beside = card.add("x-ablabel")
        beside.group, beside.value = line.group, label
