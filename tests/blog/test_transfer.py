"""Posts, contacts and settings out of one home and into another, as a person does it on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crow_plugins.blog.posts import Posts
from crow_plugins.cli.app import run
from crow_plugins.contacts.contacts import Contacts
from crow_plugins.host import Host
from crow_plugins.settings.settings import Settings


def said(capsys: pytest.CaptureFixture[str], home: Path, *words: str) -> Any:
    assert run([*words, "--json", "--home", str(home)]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def fill(home: Path) -> None:
    with Host(home) as host:
        posts = Posts(host.hook.handle("blog"))
        posts.publish(posts.add({"title": "Crows", "content": "Caw", "tags": ["birds"], "language": "en"}).id)
        posts.add({"title": "Draft", "content": "not yet"})
        ann = {"name": "Ann Ono", "emails": [{"address": "ann@example.org", "label": "home"}], "birthday": "--02-29"}
        Contacts(host.hook.handle("contacts")).add(ann)
        settings = Settings(host.hook.handle("settings"))
        settings.set("editor.font_size", 14, "shared")
        settings.set("editor.font_size", 20, "local")


def test_what_is_exported_and_imported_elsewhere_is_the_same(
    make_home: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grackle, swan = make_home("grackle"), make_home("swan")
    fill(grackle)
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    assert said(capsys, grackle, "export", str(first))["exported"] == 4
    assert said(capsys, swan, "import", str(first), "--dry-run")["imported"] == 4
    assert said(capsys, swan, "import", str(first))["imported"] == 4
    assert said(capsys, swan, "import", str(first))["already_here"] == 4
    said(capsys, swan, "export", str(second))
    assert second.read_bytes() == first.read_bytes()
    assert "20" not in first.read_text().split("editor.font_size")[1].split("updated_at")[0]


def test_cards_come_in_by_the_import_of_a_file(
    make_home: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home, file = make_home("grackle"), tmp_path / "phone.vcf"
    file.write_text("BEGIN:VCARD\nVERSION:3.0\nFN:Ann Ono\nEND:VCARD\n")
    assert said(capsys, home, "import", str(file), "--format", "vcard", "--dry-run")["imported"] == 1
    assert said(capsys, home, "import", str(file), "--format", "vcard")["imported"] == 1
    assert [hit["title"] for hit in said(capsys, home, "search", "ono")["items"]] == ["Ann Ono"]
    file.write_text("BEGIN:VCARD\nVERSION:3.0\nTEL:1\nEND:VCARD\n")
    assert run(["import", str(file), "--format", "vcard", "--home", str(home)]) == 1
    assert "card 1" in capsys.readouterr().err
