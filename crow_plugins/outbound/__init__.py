"""Going out: which addresses of other machines may be called, and calls that reach those and no others."""
