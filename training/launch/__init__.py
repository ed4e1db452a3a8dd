"""Starts the processes of a training run and starts them again after a fault."""
