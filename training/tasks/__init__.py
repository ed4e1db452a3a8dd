"""What the loop trains: masked-LM pre-training and the embedded models."""
