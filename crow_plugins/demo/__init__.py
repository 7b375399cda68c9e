"""The demonstration: real machines, a story, and nothing left of it. See `crow demo`."""
