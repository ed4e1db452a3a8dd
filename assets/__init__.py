"""What ships with the package: the demo model, written by `training/`."""
