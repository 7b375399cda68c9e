"""Which plugins there are on this machine."""

from __future__ import annotations

from cyclopts import App
from rich.table import Table

from crow_plugins.cli.terminal import ATerminal


def add_to(app: App) -> None:
    plugins = App(name="plugins", help="The plugins of this installation.", help_format="plaintext")
    plugins.command(list_plugins, name="list")
    app.command(plugins)


def list_plugins(*, terminal: ATerminal) -> None:
    """Show every plugin of the manifest, in the order they start."""
    with terminal.open() as host:
        listed = [
            {
                "name": plugin.name,
                "enabled": host.is_enabled(plugin.name),
                "requires": list(plugin.requires),
                "place": str(plugin.place),
            }
            for plugin in host.manifest.plugins
        ]
    if terminal.json:
        terminal.answer(listed)
        return
    table = Table("plugin", "state", "requires", "said in", box=None, pad_edge=False)
    for plugin in host.manifest.plugins:
        state = "on" if host.is_enabled(plugin.name) else "off"
        table.add_row(plugin.name, state, ", ".join(plugin.requires), str(plugin.place))
    terminal.out.print(table)
