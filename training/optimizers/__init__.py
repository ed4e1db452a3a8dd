"""LAMB and the learning rate's schedule."""
