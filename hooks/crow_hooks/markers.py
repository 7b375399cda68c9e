"""The two markers: `hookspec` declares a hook (ours alone), `hookimpl` answers one (yours)."""

from __future__ import annotations

import pluggy

PROJECT = "crow"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
