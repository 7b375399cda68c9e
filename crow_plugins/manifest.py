"""Which plugins there are, in what order they start, and what this machine says about them.

The built-in manifest is the only list of plugins. Over it lies this machine's file in the home, and over
that a file named on the command line. Each later file may change a plugin by its name or add one.
Every fault is one sentence with file, line, plugin and key, and the nearest valid name.
"""

from __future__ import annotations

import difflib
import graphlib
import importlib.metadata
import importlib.util
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from crow_hooks import CrowError, Data
from crow_plugins.manifest_lines import BEGINS, Lines, line_of, lines_of

ENTRY_POINT_GROUP = "crow_plugins"
KEYS = {"name": str, "module": str, "entry_point": str, "enabled": bool, "requires": list, "settings": dict}
SAID = {str: "text", bool: "true or false", list: "a list", dict: "a table"}


class ManifestError(CrowError):
    """The manifest cannot be used; nothing of it was taken."""

    code = "manifest_error"

    def __init__(self, place: Place, sentence: str) -> None:
        super().__init__(f"{place}: {sentence}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file something is said; `line` counts from 1, 0 when the whole file is meant."""

    file: Path
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else str(self.file)


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin as the manifest has it. Exactly one of `module` and `entry_point` is set.

    `place` is where it was spoken of last, `said` where each of its keys was; see `at`.
    """

    name: str
    place: Place
    module: str = ""
    entry_point: str = ""
    enabled: bool = True
    requires: tuple[str, ...] = ()
    settings: Data = field(default_factory=dict)
    said: Mapping[str, Place] = field(default_factory=dict)

    def at(self, key: str) -> Place:
        """Where a key stands (a setting as `settings.KEY`), or what holds it."""
        while key and key not in self.said:
            key = key.rpartition(".")[0]
        return self.said.get(key, self.place)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The plugins in the order in which they start: each after those it requires."""

    plugins: tuple[Plugin, ...]

    def plugin(self, name: str) -> Plugin:
        return next(plugin for plugin in self.plugins if plugin.name == name)

    def enabled(self) -> frozenset[str]:
        return frozenset(plugin.name for plugin in self.plugins if plugin.enabled)


def built_in() -> Path:
    """The file beside the package in a wheel, at the repository's root in a checkout."""
    package = Path(__file__).parent
    packaged = package / "plugin_manifest.toml"
    return packaged if packaged.exists() else package.parent / "plugin_manifest.toml"


def load(overrides: Iterable[Path] = (), *, base: Path | None = None) -> Manifest:
    """Read the manifest and the files over it; one that does not exist says nothing."""
    plugins: dict[str, Plugin] = {}
    for number, file in enumerate([base or built_in(), *overrides]):
        if number and not file.exists():
            continue
        for table in _tables(file):
            may_be_new = number == 0 or "module" in table.said or "entry_point" in table.said
            plugin = _merged(table, plugins, may_be_new=may_be_new)
            plugins[plugin.name] = plugin
    return Manifest(_in_order(plugins))


def installed() -> list[str]:
    """The entry points of plugins in the packages that are installed, listed or not; none is loaded by asking."""
    return [point.name for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)]


def import_plugin(plugin: Plugin) -> object:
    """The plugin's module or entry point, imported. Raises `ManifestError` when it is not installed."""
    if plugin.entry_point:
        names = installed()
        if plugin.entry_point not in names:
            raise ManifestError(
                plugin.at("entry_point"),
                f"no installed package has an entry point {plugin.entry_point} in the group {ENTRY_POINT_GROUP}; "
                f"install its package, or take the plugin out of this file{nearest(plugin.entry_point, names)}",
            )
        return importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)[plugin.entry_point].load()
    if importlib.util.find_spec(plugin.module.split(".")[0]) is None or importlib.util.find_spec(plugin.module) is None:
        raise ManifestError(
            plugin.at("module"),
            f"plugin {plugin.name}: there is no module {plugin.module}; "
            "install its package, or take the plugin out of this file",
        )
    return importlib.import_module(plugin.module)


def nearest(name: str, valid: Iterable[str]) -> str:
    """`; did you mean X?`, or the list of what there is."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(names)}" if names else ""


@dataclass(frozen=True, slots=True)
class _Table:
    """One `[[plugin]]` table of a file, and in which lines it says what."""

    file: Path
    said: Mapping[str, Any]
    lines: Lines

    def at(self, key: str) -> Place:
        return Place(self.file, line_of(self.lines, key))

    def places(self) -> dict[str, Place]:
        keys = [*self.said, *(f"settings.{key}" for key in self.said.get("settings", {}))]
        return {key: self.at(key) for key in keys}


def _tables(file: Path) -> Sequence[_Table]:
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise ManifestError(Place(file), f"cannot be read: {reason}; check its name") from error
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(Place(file), f"is not valid TOML: {error}") from error
    unknown = document.keys() - {"plugin"}
    if unknown:
        key = sorted(unknown)[0]
        raise ManifestError(Place(file, _line_of(text, key)), f"unknown key {key}; plugins stand in [[plugin]] tables")
    tables = document.get("plugin", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ManifestError(Place(file), "plugins stand in [[plugin]] tables, with two brackets on each side")
    lines = lines_of(text)
    if len(lines) != len(tables):  # written in another way than the usual one: the whole file is pointed at
        lines = [{} for _ in tables]
    return [_Table(file, table, found) for table, found in zip(tables, lines, strict=True)]


def _line_of(text: str, key: str) -> int:
    return next((number for number, line in enumerate(text.splitlines(), 1) if key in line), 0)


def _merged(table: _Table, known: Mapping[str, Plugin], *, may_be_new: bool) -> Plugin:
    name = table.said.get("name")
    if not isinstance(name, str) or not name:
        raise ManifestError(table.at(BEGINS), 'a plugin needs a name, as in name = "memories"')
    for key, value in table.said.items():
        if key not in KEYS:
            raise ManifestError(table.at(key), f"plugin {name}: unknown key {key}{nearest(key, KEYS)}")
        if not isinstance(value, KEYS[key]):
            raise ManifestError(table.at(key), f"plugin {name}: {key} must be {SAID[KEYS[key]]}")
    before = known.get(name)
    if before is None and not may_be_new:
        raise ManifestError(table.at("name"), f"there is no plugin {name}{nearest(name, known)}")
    if before is not None and before.place.file == table.file:
        raise ManifestError(table.at("name"), f"plugin {name} is listed twice, first in line {before.at('name').line}")
    return _checked(_over(before or Plugin(name, table.at(BEGINS)), table))


def _over(before: Plugin, table: _Table) -> Plugin:
    changed = {key: value for key, value in table.said.items() if key in ("enabled", "module", "entry_point")}
    if "requires" in table.said:
        changed["requires"] = tuple(table.said["requires"])
    settings = {**before.settings, **table.said.get("settings", {})}
    said = {**before.said, **table.places()}
    return replace(before, place=table.at(BEGINS), settings=settings, said=said, **changed)


def _checked(plugin: Plugin) -> Plugin:
    if bool(plugin.module) == bool(plugin.entry_point):
        raise ManifestError(plugin.at("entry_point"), f"plugin {plugin.name} needs either module or entry_point")
    if not all(isinstance(name, str) for name in plugin.requires):
        raise ManifestError(plugin.at("requires"), f"plugin {plugin.name}: requires is a list of plugin names")
    return plugin


def _in_order(plugins: Mapping[str, Plugin]) -> tuple[Plugin, ...]:
    for plugin in plugins.values():
        for name in plugin.requires:
            _check_requirement(plugin, name, plugins)
    order = graphlib.TopologicalSorter({plugin.name: plugin.requires for plugin in plugins.values()})
    try:
        return tuple(plugins[name] for name in order.static_order())
    except graphlib.CycleError as error:
        circle = error.args[1]
        raise ManifestError(
            plugins[circle[0]].at("requires"), f"these plugins require each other in a circle: {' → '.join(circle)}"
        ) from error


def _check_requirement(plugin: Plugin, name: str, plugins: Mapping[str, Plugin]) -> None:
    if name not in plugins:
        raise ManifestError(
            plugin.at("requires"), f"plugin {plugin.name} requires {name}, which is not listed{nearest(name, plugins)}"
        )
    if plugin.enabled and not plugins[name].enabled:
        raise ManifestError(
            plugins[name].at("enabled"),
            f"plugin {plugin.name} requires {name}, which is off; enable {name} or disable {plugin.name}",
        )
