"""Runs in processes of their own, and the locks that keep two commands apart."""
