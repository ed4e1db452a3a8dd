"""BERT in training, without padding: batches, attention, heads, weights."""
