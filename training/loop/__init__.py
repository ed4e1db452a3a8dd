"""The one training loop: configuration, samples dealt to ranks, steps, evaluation, checkpoints."""
