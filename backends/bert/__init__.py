"""BERT itself: its configuration, heads, checkpoints and readable reference implementations."""
