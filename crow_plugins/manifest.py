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

ENTRY_POINT_GROUP = "crow_plugins"
KEYS = {"name": str, "module": str, "entry_point": str, "enabled": bool, "requires": list, "settings": dict}


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
    """One plugin as the manifest has it. Exactly one of `module` and `entry_point` is set."""

    name: str
    place: Place
    module: str = ""
    entry_point: str = ""
    enabled: bool = True
    requires: tuple[str, ...] = ()
    settings: Data = field(default_factory=dict)


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
        for place, table in _tables(file):
            plugin = _merged(
                place, table, plugins, may_be_new=number == 0 or "module" in table or "entry_point" in table
            )
            plugins[plugin.name] = plugin
    return Manifest(_in_order(plugins))


def import_plugin(plugin: Plugin) -> object:
    """The plugin's module or entry point, imported. Raises `ManifestError` when it is not installed."""
    if plugin.entry_point:
        points = importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)
        names = [point.name for point in points]
        if plugin.entry_point not in names:
            raise ManifestError(
                plugin.place,
                f"no installed package has an entry point {plugin.entry_point} in the group {ENTRY_POINT_GROUP}"
                f"{nearest(plugin.entry_point, names)}",
            )
        return points[plugin.entry_point].load()
    if importlib.util.find_spec(plugin.module.split(".")[0]) is None or importlib.util.find_spec(plugin.module) is None:
        raise ManifestError(
            plugin.place, f"plugin {plugin.name}: there is no module {plugin.module}; install its package"
        )
    return importlib.import_module(plugin.module)


def nearest(name: str, valid: Iterable[str]) -> str:
    """` (did you mean X?)`, or the list of what there is."""
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(names)}" if names else ""


def _tables(file: Path) -> Sequence[tuple[Place, dict[str, Any]]]:
    """Each `[[plugin]]` table of a file, with the place where it begins."""
    try:
        text = file.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(Place(file), f"cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ManifestError(Place(file), f"is not valid TOML: {error}") from error
    unknown = document.keys() - {"plugin"}
    if unknown:
        key = sorted(unknown)[0]
        raise ManifestError(Place(file, _line_of(text, key)), f"unknown key {key}; plugins stand in [[plugin]] tables")
    tables = document.get("plugin", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ManifestError(Place(file), "plugins stand in [[plugin]] tables, with two brackets on each side")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if line.strip().startswith("[[plugin]]")]
    lines += [0] * (len(tables) - len(lines))
    return [(Place(file, line), table) for line, table in zip(lines, tables, strict=False)]


def _line_of(text: str, key: str) -> int:
    return next((number for number, line in enumerate(text.splitlines(), 1) if key in line), 0)


def _merged(place: Place, table: Mapping[str, Any], known: Mapping[str, Plugin], *, may_be_new: bool) -> Plugin:
    name = table.get("name")
    if not isinstance(name, str) or not name:
        raise ManifestError(place, 'a plugin needs a name, as in name = "memories"')
    for key, value in table.items():
        if key not in KEYS:
            raise ManifestError(place, f"plugin {name}: unknown key {key}{nearest(key, KEYS)}")
        if not isinstance(value, KEYS[key]):
            raise ManifestError(place, f"plugin {name}: {key} must be a {KEYS[key].__name__}")
    before = known.get(name)
    if before is None and not may_be_new:
        raise ManifestError(place, f"there is no plugin {name}{nearest(name, known)}")
    if before is not None and before.place.file == place.file:
        raise ManifestError(place, f"plugin {name} is listed twice, first in line {before.place.line}")
    return _checked(_over(before or Plugin(name, place), place, table))


def _over(before: Plugin, place: Place, table: Mapping[str, Any]) -> Plugin:
    changed = {key: value for key, value in table.items() if key in ("enabled", "module", "entry_point")}
    if "requires" in table:
        changed["requires"] = tuple(table["requires"])
    settings = {**before.settings, **table.get("settings", {})}
    return replace(before, place=place, settings=settings, **changed)


def _checked(plugin: Plugin) -> Plugin:
    if bool(plugin.module) == bool(plugin.entry_point):
        raise ManifestError(plugin.place, f"plugin {plugin.name} needs either module or entry_point")
    if not all(isinstance(name, str) for name in plugin.requires):
        raise ManifestError(plugin.place, f"plugin {plugin.name}: requires is a list of plugin names")
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
            plugins[circle[0]].place, f"these plugins require each other in a circle: {' → '.join(circle)}"
        ) from error


def _check_requirement(plugin: Plugin, name: str, plugins: Mapping[str, Plugin]) -> None:
    if name not in plugins:
        raise ManifestError(
            plugin.place, f"plugin {plugin.name} requires {name}, which is not listed{nearest(name, plugins)}"
        )
    if plugin.enabled and not plugins[name].enabled:
        raise ManifestError(
            plugin.place, f"plugin {plugin.name} requires {name}, which is off; enable {name} or disable {plugin.name}"
        )
