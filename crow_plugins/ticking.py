"""When a process looks at what nobody tells it of: all that looks once a second does so in one moment.

Each look alone costs a gateway that idles more by waking it, with cold caches, than by what it does.
"""

from __future__ import annotations

import asyncio
import random

OFFSET = random.random()  # noqa: S311  # the processes of one machine do not all wake in the same moment


async def next_tick(seconds: float) -> None:
    """Sleep until a whole multiple of `seconds` has passed on this process's clock: the same one for all who wait."""
    left = seconds - (asyncio.get_running_loop().time() - OFFSET) % seconds
    if left < seconds / 100:  # of the tick that woke us, by the last digits of the clock
        left += seconds
    await asyncio.sleep(left)
