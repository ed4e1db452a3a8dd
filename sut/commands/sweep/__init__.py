"""A grid of runs, each in its own process, several times over: medians, table, plot (docs/guide/sweeps.md)."""
