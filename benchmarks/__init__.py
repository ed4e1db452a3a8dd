"""Side-by-side measurements: each a program that prints a table, then one JSON line."""
