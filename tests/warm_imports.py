"""What every run of `crow` imports, and the plugins; see `tests.warm`."""

from __future__ import annotations

from crow_plugins import cli, gateway, jobs, manifest, server, switching

IMPORTED = (cli, gateway, jobs, server, switching)

for plugin in manifest.load([]).plugins:
    manifest.import_plugin(plugin)
