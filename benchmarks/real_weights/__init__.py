"""What each precision keeps of a fine-tuned model's F1, on weights that were trained on real text."""
