"""The rules of each round as data: counts, names, layout."""
