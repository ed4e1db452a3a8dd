"""From finished runs to a package in the official layout."""
