"""`python -m sut compare`: presets against plain fp32: builds `engines`, makes `runs`, prints a `table`."""
