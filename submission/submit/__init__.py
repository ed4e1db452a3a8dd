"""submit: plan the runs of a submission, make them, and resume after an interruption."""
