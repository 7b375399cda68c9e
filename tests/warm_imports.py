"""What every run of `crow` imports, and the plugins; see `tests.warm`."""

from __future__ import annotations

from crow_plugins import gateway, jobs, manifest, server, switching
from crow_plugins.cli import app

IMPORTED = (app, gateway, jobs, server, switching)

for plugin in manifest.load([]).plugins:
    manifest.import_plugin(plugin)
