"""sweep: runs a grid of settings, repeated, each run in its own process (docs/guide/sweeps.md)."""
