"""submit: plan the runs of a submission, do them, and resume after an interruption."""
