"""The checks of a submission tree: one module per family of rules, each a function from what was read to failures."""
