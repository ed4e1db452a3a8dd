"""replay: repeats an earlier run and prints the differences."""
