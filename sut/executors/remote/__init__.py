"""Instances on other machines: the executor, its nodes, and their speed as it is measured from here."""
