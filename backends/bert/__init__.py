"""BERT: its configuration, heads, checkpoints and readable reference implementations."""
