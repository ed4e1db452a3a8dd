"""Data only, in TOML: what `python -m sut fetch` knows by name, and what a person knows of a system."""
