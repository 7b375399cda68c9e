"""vCards in and out: what address books really write, what is broken, and the same again after a round trip."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crow_hooks import Crow, CrowError, Skipped
from crow_plugins.contacts.contact import CONTACT
from crow_plugins.contacts.contacts import Contacts
from crow_plugins.contacts.interchange import export_cards, vcard_importer
from crow_plugins.contacts.vcard import CARD_BYTES_MAX, read
from crow_plugins.host import Host
from crow_plugins.rows.interchange import export

SEED, CARDS = 11, 500
TEXTS = (
    "Ann",
    "Jörg Müller",
    "山田 太郎",
    "a,b;c\\d",
    'say "hi"',
    "x: y=z",
    "\\n",
    "Ωmega 🦆",
    "end\u2028line",
    "'",
    "=41",
)


def card(*lines: str, version: str = "3.0", end: str = "\r\n") -> bytes:
    return (end.join(["BEGIN:VCARD", f"VERSION:{version}", *lines, "END:VCARD"]) + end).encode()


@pytest.fixture
def crow(host: Host) -> Crow:
    return host.hook.handle("contacts")


def imported(crow: Crow, path: Path, dry_run: bool = False) -> list[Skipped | None]:
    return list(vcard_importer(crow).take(path, dry_run))


READ: dict[str, tuple[bytes, dict[str, object]]] = {
    "quoted-printable in Latin-1, with its soft line breaks": (
        card(
            "N;CHARSET=ISO-8859-1;ENCODING=QUOTED-PRINTABLE:M=FCller;J=F6rg",
            "FN;CHARSET=ISO-8859-1;QUOTED-PRINTABLE:J=F6rg M=FCller",
            "NOTE;ENCODING=quoted-printable;CHARSET=UTF-8:one=0D=0A=",
            "two =C3=A9",
            version="2.1",
        ),
        {"name": "Jörg Müller", "notes": "one\ntwo é"},
    ),
    "bytes of Windows that name no charset": (card("FN:J\u00f6rg").replace("ö".encode(), b"\xf6"), {"name": "Jörg"}),
    "bytes of the charset they name": (
        card("FN;CHARSET=KOI8-R:X").replace(b"X", "Анна".encode("koi8-r")),
        {"name": "Анна"},
    ),
    "escapes of ISO-2022-JP": (
        card("FN;CHARSET=ISO-2022-JP:X").replace(b"X", "山田".encode("iso-2022-jp")),
        {"name": "山田"},
    ),
    "UTF-8 that says it is Latin-1": (card("FN;CHARSET=ISO-8859-1:Jörg"), {"name": "Jörg"}),
    "a name folded within a character": (
        card("FN:J\u00f6rg").replace("ö".encode(), b"\xc3\r\n \xb6"),
        {"name": "Jörg"},
    ),
    "folded lines, old Mac line ends": (card("FN:Ann", "NOTE:a long", "  story", end="\r"), {"notes": "a long story"}),
    "commas that nobody escaped": (
        card("FN:Ono, Ann", "TITLE:Milk, eggs"),
        {"name": "Ono, Ann", "title": "Milk, eggs"},
    ),
    "a name in parts only": (card("N:Ono;Ann;;;"), {"name": "Ann Ono"}),
    "an organisation for a name": (card("N:;;;;", "ORG:Acme\\, Ltd;Sales"), {"name": "Acme, Ltd, Sales"}),
    "labels in three ways": (
        card(
            "FN:A",
            "TEL;TYPE=CELL,VOICE:1",
            "TEL;HOME:2",
            "item1.TEL:3",
            "item1.X-ABLabel:_$!<HomePage>!$_",
            'TEL;VALUE=uri;TYPE="voice,work":tel:4',
        ),
        {"phones": [("1", "cell"), ("2", "home"), ("3", "HomePage"), ("4", "work")]},
    ),
    "a birthday without a year, as Apple has it": (
        card("FN:A", "BDAY;X-APPLE-OMIT-YEAR=1604:1604-04-12"),
        {"birthday": "--04-12"},
    ),
    "a birthday in short": (card("FN:A", "BDAY:19850412", version="4.0"), {"birthday": "1985-04-12"}),
    "a birthday that is none, and a broken photo": (
        card("FN:A", "BDAY:soon", "PHOTO;ENCODING=B:!!!"),
        {"name": "A", "birthday": None},
    ),
    "an address of a flat": (
        card("FN:A", "ADR;TYPE=home:PO 1;Flat 2;1 High St;Ely;;CB7;UK"),
        {"addresses": [("PO 1, Flat 2, 1 High St", "Ely", "", "CB7", "UK", "home")]},
    ),
}


@pytest.mark.parametrize("name", READ)
def test_what_address_books_write_is_read(name: str) -> None:
    data, expected = READ[name]
    fields = read(data).fields
    for field, value in expected.items():
        got: Any = fields[field]
        assert ([tuple(each.values()) for each in got] if isinstance(value, list) else got) == value


BROKEN = {
    "nothing in it": b"BEGIN:VCARD\r\nEND:VCARD\r\n",
    "no end": b"BEGIN:VCARD\r\nFN:A\r\n",
    "a line that is none": card("FN:A", "what is this"),
    "a card within a card": card("FN:A", "BEGIN:VCARD", "FN:B", "END:VCARD"),
    "a charset that is none": card("FN;CHARSET=X-NONE;ENCODING=QUOTED-PRINTABLE:=F6"),
    "no words of a format": b"\x00\xff\xfe binary \x80",
    "a phone number without digits": card("FN:A", "TEL:none"),
    "a name that is too long": card("FN:" + "a" * 300),
    "a photo of four megabytes": card("FN:A", "PHOTO;ENCODING=B:" + "A" * CARD_BYTES_MAX),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_with_one_sentence(name: str) -> None:
    with pytest.raises(CrowError) as refusal:
        read(BROKEN[name])
    assert "\n" not in str(refusal.value)


def test_a_file_is_taken_card_by_card_and_what_is_left_out_is_named(crow: Crow, tmp_path: Path) -> None:
    file = tmp_path / "all.vcf"
    good, again = card("FN:Ann", "UID:a-1"), card("FN:Ann changed", "UID:a-1")
    file.write_bytes(
        b"\xef\xbb\xbf" + good + b"stray words\r\n" + good + again + card("TEL:1") + b"BEGIN:VCARD\r\nFN:cut"
    )
    told = imported(crow, file, dry_run=True)
    assert Contacts(crow).list([], limit=10, cursor=None).total == 0
    assert imported(crow, file) == told
    assert told[0] is None
    assert [(each.position, each.here) for each in told if each] == [
        (2, False),
        (3, True),
        (4, False),
        (5, False),
        (6, False),
    ]
    assert "no vCard" in told[1].reason  # type: ignore[union-attr]  # it was left out
    assert "other content" in told[3].reason  # type: ignore[union-attr]
    assert "no name" in told[4].reason  # type: ignore[union-attr]


def test_a_folder_of_files_is_taken_in_their_order_whatever_their_charset(crow: Crow, tmp_path: Path) -> None:
    (tmp_path / "b.VCF").write_bytes(card("FN:Bo").decode().encode("utf-16"))
    (tmp_path / "a.vcf").write_bytes(card("FN:Ann"))
    (tmp_path / "note.txt").write_bytes(b"not looked at")
    (tmp_path / "folder.vcf").mkdir()
    (tmp_path / "link.vcf").symlink_to(tmp_path / "a.vcf")
    assert imported(crow, tmp_path) == [None, None]
    assert [each.name for each in Contacts(crow).list([], limit=10, cursor=None).items] == ["Ann", "Bo"]
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CrowError, match=r"holds no \.vcf file"):
        imported(crow, empty)


def test_five_hundred_contacts_are_the_same_after_a_round_trip_of_cards(
    make_home: Callable[[str], Path], open_host: Callable[..., Host], tmp_path: Path
) -> None:
    first, second = (open_host(make_home(name)).hook.handle("contacts") for name in ("grackle", "swan"))
    contacts, chance = Contacts(first), random.Random(SEED)
    for fields in _people(chance):
        contacts.add(fields)
    file = tmp_path / "all.vcf"
    file.write_text("".join(export_cards(first)), newline="")
    assert imported(second, file) == [None] * CARDS
    for kept, taken in zip(_by_id(first), _by_id(second), strict=True):
        assert {name: kept[name] for name in ("id", *CONTACT.names)} == {
            name: taken[name] for name in ("id", *CONTACT.names)
        }
    assert [each and each.here for each in imported(second, file)] == [True] * CARDS


def _people(chance: random.Random) -> Iterator[dict[str, object]]:
    def word() -> str:
        return chance.choice(TEXTS)

    for number in range(CARDS):
        yield {
            "name": f"{word()} {number}",
            "emails": [{"address": f"p{number}@example.org", "label": word()}],
            "phones": [{"number": f"+44 {number}, ext; {n}", "label": ""} for n in range(chance.randrange(3))],
            "addresses": [{"street": word(), "city": word(), "country": word(), "label": word()}],
            "urls": [{"url": f"https://example.org/{number};a,b?c=d"}],
            "organisation": word(),
            "title": word() * 20,
            "birthday": chance.choice([None, "1985-04-12", "--02-29"]),
            "notes": "\n".join(word() * 10 for _ in range(3)),
            "tags": [word(), word()],
        }


def _by_id(crow: Crow) -> list[dict[str, object]]:
    return sorted((dict(record) for record in export(crow, CONTACT)), key=lambda record: str(record["id"]))


def test_a_file_for_a_phone_is_written_by_a_command(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from crow_plugins.cli.app import run

    with Host(home) as host:
        Contacts(host.hook.handle("contacts")).add({"name": "Ann"})
    file = tmp_path / "phone.vcf"
    assert run(["vcards", str(file), "--home", str(home)]) == 0, capsys.readouterr().err
    assert read(file.read_bytes()).fields["name"] == "Ann"
    assert run(["vcards", str(file), "--home", str(home)]) == 1
