"""What a training run leaves behind: MLLOG lines, run.json, figures, plots."""
