"""tune: finds the fastest settings of this machine that keep the accuracy (docs/guide/tuning.md)."""
