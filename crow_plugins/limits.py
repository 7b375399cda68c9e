"""What an instance takes from others at the most, each with its reason; the feed's own bounds are `feed.limits`.

An entry that passes one of the first is parked, a peer that passes one of the others is refused. Our own side keeps to
the same before it sends. Sizes are bytes unless the name says otherwise.
"""

from __future__ import annotations

from crow_plugins.feed.limits import FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX, IN_FLIGHT_BYTES_MAX

# --- an entry ---
ENTRY_BYTES_MAX = 256 * 1024  # a row of 240 KiB, its versions and names
RESCUED_BYTES_MAX = 2 * ENTRY_BYTES_MAX + 1024  # quotes and backslashes of the text within double
STRING_BYTES_MAX = 128 * 1024  # one text of a row
ROW_BYTES_MAX = 240 * 1024  # leaves room for versions and names in an entry
KEYS_MAX = 64  # in one object of the row; a row's writers are bounded by the bytes of an entry alone
DEPTH_MAX = 16  # levels below `data`
OPEN_MAX = 1024  # versions left open: each instance leaves one, unless it is restored again and again

# --- a peer ---
WELCOME_SECONDS = 5.0  # for handshake and introduction together
INTRODUCTION_BYTES_MAX = 8 * 2**20  # a thousand certificates and a dozen of the longest revocations
INTRODUCTION_LISTED_MAX = 4096  # certificates, and as many revocations
QUARANTINE_AFTER, QUARANTINE_SECONDS = 5, 600  # false entries within ten minutes
SILENCE_SECONDS = 46.0  # three keep-alives that did not come; or as long without reading what was sent

# --- a connection ---
CONNECTIONS_MAX = 64  # more than a chain has instances; before the handshake anybody can open one
UNREAD_BYTES_MAX = IN_FLIGHT_BYTES_MAX + 4 * 2**20  # all that was asked for, with what is said beside it
UNREAD_BYTES_MAX_BEFORE_WELCOME = 64 * 1024  # a handshake and the beginning of an introduction

__all__ = [
    "CONNECTIONS_MAX",
    "DEPTH_MAX",
    "ENTRY_BYTES_MAX",
    "FRAME_BYTES_MAX",
    "HANDSHAKE_FRAME_BYTES_MAX",
    "INTRODUCTION_BYTES_MAX",
    "INTRODUCTION_LISTED_MAX",
    "KEYS_MAX",
    "OPEN_MAX",
    "QUARANTINE_AFTER",
    "QUARANTINE_SECONDS",
    "RESCUED_BYTES_MAX",
    "ROW_BYTES_MAX",
    "SILENCE_SECONDS",
    "STRING_BYTES_MAX",
    "UNREAD_BYTES_MAX",
    "UNREAD_BYTES_MAX_BEFORE_WELCOME",
    "WELCOME_SECONDS",
]
