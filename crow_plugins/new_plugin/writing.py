"""A new plugin's package, written out of templates: small, whole, and with tests that pass at once."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from string import Template

from crow_hooks import Invalid, Refused
from crow_plugins import manifest

TEMPLATES = Path(__file__).parent / "template"
RESERVED = "sqlite_"
NAME = re.compile(r"[a-z][a-z0-9_]{1,30}[a-z0-9]")


def write(name: str, into: Path) -> Path:
    """Write the package of a plugin into a new folder of `into`; returns that folder.

    Raises `Invalid` for a name that cannot be one, `Refused` where something would be overwritten.
    """
    if f"{name}_".startswith(RESERVED):  # its table is called so too
        raise Invalid(f"{name!r} cannot be a plugin's name: SQLite keeps {RESERVED}… for itself; choose another name")
    if not _may_be_called(name):
        rule = f"take 3 to 32 small letters, digits and _, a letter first{_nearest(name)}"
        raise Invalid(f"{name!r} cannot be a plugin's name; {rule}")
    if name in (plugin.name for plugin in manifest.load().plugins):
        raise Refused(f"{name} is a plugin that comes with Crow; choose another name")
    if importlib.util.find_spec(f"crow_{name}") is not None:
        raise Refused(f"the package crow_{name} is here already, and two cannot have one name; choose another name")
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


def _may_be_called(name: str) -> bool:
    return NAME.fullmatch(name) is not None and "__" not in name and not f"{name}_".startswith(RESERVED)


def _nearest(name: str) -> str:
    """The same name as a plugin may have it, if there is one."""
    spelt = re.sub(r"[\W_]+", "_", name.lower(), flags=re.ASCII).strip("_")
    return f", as in {spelt}" if _may_be_called(spelt) else ""


def _files(name: str) -> Iterator[tuple[str, str]]:
    words = {"name": name, "dashed": name.replace("_", "-"), "title": name.replace("_", " ").capitalize()}
    for template in sorted(path for path in TEMPLATES.rglob("*") if path.is_file()):
        path = str(template.relative_to(TEMPLATES)).removesuffix(".txt")
        path = path.replace("package/", f"crow_{name}/").replace("test_plugin", f"test_{name}")
        yield path, Template(template.read_text("utf-8")).substitute(words)
