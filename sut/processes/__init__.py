"""Runs in separate processes, and locks on output directories."""
