"""`python -m crow_plugins` is `crow`."""

from __future__ import annotations

from crow_plugins.cli import main

main()
