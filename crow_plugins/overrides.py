"""This machine's manifest, edited: one plugin on or off, everything else in the file as its owner wrote it."""

from __future__ import annotations

from pathlib import Path

import tomlkit
from tomlkit.items import AoT, Table

from crow_hooks import NotFound, Refused
from crow_plugins import manifest
from crow_plugins.files import write_private
from crow_plugins.manifest import Manifest, ManifestError, Place

HEADER = "What this machine says differently from the built-in plugin list; edited by crow plugins as well."


def switch(file: Path, files: list[Path], name: str, *, on: bool) -> Manifest:
    """Write into `file` that a plugin is on or off; returns the manifest that `files` then make together.

    One that is installed and that no manifest lists is listed by switching it on. Raises `NotFound` for an unknown
    name, `ManifestError` for a file that cannot be read, `Refused` when other plugins stand in the way; the file is
    then as it was.
    """
    before = manifest.load(files)
    names, installed = [plugin.name for plugin in before.plugins], manifest.installed()
    if name in names:
        _refuse_what_others_need(before, name, on)
    elif not on or name not in installed:
        raise NotFound(f"there is no plugin {name}{manifest.nearest(name, {*names, *installed})}")
    document = _document(file)
    table = _table(document, file, name)
    if name not in names:
        table["entry_point"] = name
    table["enabled"] = on
    text = tomlkit.dumps(document)
    _try(text, file, files)
    write_private(file, text.encode())
    return manifest.load(files)


def _refuse_what_others_need(before: Manifest, name: str, on: bool) -> None:
    if on:
        off = [each for each in before.plugin(name).requires if not before.plugin(each).enabled]
        if off:
            raise Refused(f"{name} requires {', '.join(off)}, which is off; enable that first")
        return
    users = [plugin.name for plugin in before.plugins if plugin.enabled and name in plugin.requires]
    if users:
        raise Refused(f"{name} is required by {', '.join(users)}; disable {users[0]} first")


def _document(file: Path) -> tomlkit.TOMLDocument:
    if file.exists():
        return tomlkit.parse(file.read_text(encoding="utf-8"))
    document = tomlkit.document()
    document.add(tomlkit.comment(HEADER))
    return document


def _table(document: tomlkit.TOMLDocument, file: Path, name: str) -> Table:
    tables = document.setdefault("plugin", tomlkit.aot())
    if not isinstance(tables, AoT):  # plugin = [{…}] says the same, and can be read
        raise ManifestError(
            Place(file), "lists its plugins in one line; write a [[plugin]] table for each, and try again"
        )
    for table in tables.body:
        if table["name"] == name:
            return table
    table = tomlkit.table()
    table["name"] = name
    tables.append(table)
    return table


def _try(text: str, file: Path, files: list[Path]) -> None:
    """Read the manifest as it would be: what does not load is never written."""
    trial = file.with_name(f".{file.name}.trial")
    try:
        write_private(trial, text.encode())
        manifest.load([trial if each == file else each for each in files])
    finally:
        trial.unlink(missing_ok=True)
