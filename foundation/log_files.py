"""The names of the files in a run's log directory: those that LoadGen writes, and those that this project adds."""

from __future__ import annotations

# LoadGen's own
SUMMARY, DETAIL = "mlperf_log_summary.txt", "mlperf_log_detail.txt"
ACCURACY = "mlperf_log_accuracy.json"
TRACE = "mlperf_log_trace.json"
# Next to them
RUN = "run.json"
ACCURACY_TXT = "accuracy.txt"  # the score, in the form that the submission checkers read
PREDICTIONS = "predictions.json"
