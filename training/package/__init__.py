"""Ten training runs as a package in MLPerf's layout, checked by its own checkers where they are installed."""
