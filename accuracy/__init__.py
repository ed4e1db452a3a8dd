"""From a run's answers to a verdict: LoadGen's accuracy log, the metrics of each task, the targets, accuracy.txt."""
