"""From what a run answered to the verdict: LoadGen's accuracy log, SQuAD v1.1's metric, the targets, accuracy.txt."""
