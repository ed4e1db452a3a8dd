"""Between LoadGen and the executor: queries in, batches out, responses back."""
