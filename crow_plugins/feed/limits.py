"""Every bound of the feed and its wire, with its reason. Sizes are bytes unless the name says otherwise.

A peer that passes one of them is refused by name (`OverLimit`); our own side refuses before it sends.
"""

from __future__ import annotations

UINT_MAX = 2**53 - 1  # what a JavaScript number holds exactly; npm refuses more

# --- the feed ---
LENGTH_MAX = 2**39  # blocks: a flat tree index then fits 40 bits, which is how nodes are stored
FORK_MAX = UINT_MAX  # a fork may be a unix time in any unit
BYTE_LENGTH_MAX = UINT_MAX  # payload bytes of a whole feed; sizes travel as uints
BLOCK_BYTES_MAX = 15 * 2**20  # npm's own suggestion: a block and its proof must fit one frame
APPEND_BLOCKS_MAX = 65_536  # blocks under one signature: a transaction that long holds others up by a second

# --- proofs ---
NODES_MAX = 128  # nodes in one list: 40 levels up, 40 roots along, and room for a path inside an upgrade
SIGNERS_MAX = 16  # in a manifest: more machines than sign any feed together
SIGNATURE_BYTES_MAX = 2 + SIGNERS_MAX * (3 + 64 + 9)  # a container with each signer's part in it
MANIFEST_BYTES_MAX = 8192  # 16 signers of 65 bytes, some links, and user data of a screen
LINKED_MAX = 64  # keys that a manifest may link to
USER_DATA_BYTES_MAX = 4096  # opaque to us: kept because the key is a hash over it

# --- frames and channels ---
FRAME_BYTES_MAX = 2**24 - 1  # the length prefix has three bytes, and npm joins replies up to 8 MiB and more
HANDSHAKE_FRAME_BYTES_MAX = 512  # before anybody is authenticated nothing longer than 112 bytes is honest
BATCH_BYTES_MAX = 8 * 2**20  # npm ends a batch of messages at this size, and so do we
CHANNELS_MAX = 1024  # open on one stream: far more feeds than a chain has
PENDING_BYTES_MAX = 32 * 1024  # for a channel that the other side has not opened yet; npm pauses here
PROTOCOL_NAME_BYTES_MAX = 64  # "hypercore/alpha" has 15
CHANNEL_ID_BYTES_MAX = 64  # a discovery key has 32
CHANNEL_HANDSHAKE_BYTES_MAX = 512  # flags and a capability have 33

# --- messages ---
REQUESTS_QUEUED_MAX = 4096  # of one peer, unanswered: npm asks for at most 512 at once, we for 2048
WANTS_QUEUED_MAX = 1024  # of one peer, unanswered, for which blocks are here: one covers 2,097,152 of them
TELLINGS_MAX = 1024  # at once, of gaps in what a peer holds: honest ones come by the dozen, and each costs time
CLAIMS_BEYOND_MAX = 32 * 65_536  # blocks past our own head of which a peer's claims are kept, in bits
REQUESTS_AT_FIRST_MAX = 64  # npm joins the answers into one frame: a link that soon breaks must bring some of it
REQUESTS_IN_FLIGHT_MAX = 2048  # ours to one peer: as much comes in while what came before is stored and applied
IN_FLIGHT_BYTES_MAX = 16 * 2**20  # of blocks asked for and not here yet: what one connection may cost in memory
ANSWER_BYTES_MAX = 2 * 2**20  # answered at once, before other feeds and the peer's next words have their turn
INVALID_REQUESTS_MAX = 64  # of one peer for one feed: npm ends the connection there too
UNASKED_MAX = 4096  # answers to what was taken back; more is a flood
WAITING_MAX = 4096  # blocks that came before what they rest on; twice what is ever asked for at once
BITFIELD_WORDS_MAX = 65_536  # of 32 bits: the largest range that npm answers in one message, 2,097,152 blocks
EXTENSION_NAME_BYTES_MAX = 64  # of an extension message, which is ignored
