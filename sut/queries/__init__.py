"""Between LoadGen and the executor: queries become batches, outputs become responses."""
