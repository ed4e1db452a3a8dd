"""Builds a package in the official layout from finished runs."""
