"""MLPerf submission packages: the rules of each round as data, the tree that they require, and the checks."""
