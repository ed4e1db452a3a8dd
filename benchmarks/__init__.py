"""Measurements and comparisons: each is a program that prints a table, then one JSON line."""
