"""What executors on several machines have in common: nodes, their jobs under way, deadlines, losses and records."""
