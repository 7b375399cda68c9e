"""Starting without the collector of garbage: what is made then stays, and it would walk through all of it each time."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Around what makes a lot that stays until the process ends; what was made is left alone for good."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
