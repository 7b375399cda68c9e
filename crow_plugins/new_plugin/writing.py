"""A new plugin's package, written out of templates: small, whole, and with tests that pass at once."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

from crow_hooks import Invalid, Refused
from crow_plugins import manifest

TEMPLATES = Path(__file__).parent / "template"
NAME = re.compile(r"[a-z][a-z0-9_]{1,30}[a-z0-9]")


def write(name: str, into: Path) -> Path:
    """Write the package of a plugin into a new folder of `into`; returns that folder.

    Raises `Invalid` for a name that cannot be one, `Refused` where something would be overwritten.
    """
    if not NAME.fullmatch(name) or "__" in name:
        raise Invalid(f"{name} cannot be a plugin's name; take 3 to 32 small letters, digits and _, a letter first")
    if name in (plugin.name for plugin in manifest.load().plugins):
        raise Refused(f"{name} is a plugin that comes with Crow; choose another name")
    folder = into / f"crow-{name.replace('_', '-')}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise Refused(f"{folder} cannot be made ({error.strerror}); choose another name or folder") from error
    for path, text in _files(name):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    return folder


def _files(name: str) -> Iterator[tuple[str, str]]:
    words = {"name": name, "dashed": name.replace("_", "-"), "title": name.replace("_", " ").capitalize()}
    for template in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
        path = str(template.relative_to(TEMPLATES)).removesuffix(".txt")
        path = path.replace("package/", f"crow_{name}/").replace("page.html", f"{name}.html")
        yield path.replace("test_plugin", f"test_{name}"), Template(template.read_text("utf-8")).substitute(words)
