"""check: is a submission package one that the official checker accepts?"""
