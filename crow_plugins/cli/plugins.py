"""The plugins of this machine: which there are, switching them, checking what the manifest says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from crow_plugins import manifest
from crow_plugins.cli.terminal import ATerminal, Terminal
from crow_plugins.keyring import NoIdentity
from crow_plugins.manifest import Manifest, Plugin
from crow_plugins.new_plugin.writing import write
from crow_plugins.running import running_gateway


def add_to(app: App) -> None:
    plugins = App(name="plugins", help="The plugins of this installation.", help_format="plaintext")
    plugins.command(list_plugins, name="list")
    plugins.command(enable)
    plugins.command(disable)
    plugins.command(check)
    plugins.command(new)
    app.command(plugins)


def list_plugins(*, terminal: ATerminal) -> None:
    """Show every plugin of the manifest in the order they start, and why one is off."""
    terminal.home.check()
    found = manifest.load(terminal.manifest_files)
    if terminal.json:
        terminal.answer([_facts(found, plugin) for plugin in found.plugins])
        return
    from rich.table import Table

    table = Table("plugin", "state", "requires", "said in", box=None, pad_edge=False)
    for plugin in found.plugins:
        table.add_row(plugin.name, _state(found, plugin), ", ".join(plugin.requires), str(plugin.place))
    terminal.out.print(table)


def enable(name: str, /, *, terminal: ATerminal) -> None:
    """Switch a plugin on for this machine; a running gateway follows at once.

    Parameters
    ----------
    name
        The plugin, as crow plugins list names it.
    """
    _switch(terminal, name, on=True)


def disable(name: str, /, *, terminal: ATerminal) -> None:
    """Switch a plugin off for this machine; what it keeps stays.

    Parameters
    ----------
    name
        The plugin, as crow plugins list names it.
    """
    _switch(terminal, name, on=False)


def check(*, terminal: ATerminal) -> None:
    """Load the manifest and every plugin as a start would, and say what is wrong."""
    with terminal.open() as host:
        names = [plugin.name for plugin in host.manifest.plugins]
        _ = host.server
    terminal.answer({"ok": True, "plugins": names}, f"All is well: {', '.join(names)}")


def new(
    name: str,
    /,
    *,
    into: Annotated[Path, Parameter(help="The folder in which to make the package's own.")] = Path(),
    terminal: ATerminal,
) -> None:
    """Write a small plugin of your own, with tests that pass at once.

    Parameters
    ----------
    name
        What operators will call it: small letters, digits and _.
    """
    folder = write(name, into.absolute())
    terminal.answer(
        {"folder": str(folder)},
        f"{folder} is a plugin; its README.md says what is where, and how to switch it on. To run its tests:\n"
        f"cd {folder} && pip install --editable . pytest && python -m pytest tests",
    )


def _switch(terminal: Terminal, name: str, *, on: bool) -> None:
    from crow_plugins.overrides import switch  # what edits TOML is of no use to the other commands

    terminal.home.check()
    if not terminal.home.folder.exists():
        raise NoIdentity(terminal.home.folder)
    after = switch(terminal.home.manifest, terminal.manifest_files, name, on=on)
    plugin = after.plugin(name)
    state = "on" if plugin.enabled else "off"
    terminal.answer(_facts(after, plugin), f"On this machine {name} is {state} now.")
    running = running_gateway(terminal.home)
    if plugin.enabled != on:
        terminal.say(f"Another manifest says otherwise: {plugin.place}")
    elif running is not None and on and name not in running.plugins:
        terminal.say(f"The running gateway has never loaded {name}: restart it (process {running.pid}).")


def _facts(found: Manifest, plugin: Plugin) -> dict[str, object]:
    return {
        "name": plugin.name,
        "enabled": plugin.enabled,
        "requires": list(plugin.requires),
        "required_by": _users(found, plugin),
        "said_in": str(plugin.place),
    }


def _users(found: Manifest, plugin: Plugin) -> list[str]:
    return [other.name for other in found.plugins if plugin.name in other.requires]


def _state(found: Manifest, plugin: Plugin) -> str:
    if plugin.enabled:
        return "on"
    off = [name for name in plugin.requires if not found.plugin(name).enabled]
    return f"off, and so are {', '.join(off)}, which it requires" if off else "off"
