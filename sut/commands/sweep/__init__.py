"""A grid of runs, each in a process of its own, several times over; its medians, table and plot. docs/sweeps.md."""
