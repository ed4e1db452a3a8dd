"""The checks of a submission tree: one module per family of rules, each from a tree to failures."""
