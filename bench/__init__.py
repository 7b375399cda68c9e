"""Measurements: every figure beside the limit it is held against, in one run."""
