"""What a user types in addition to run: one module or package per verb."""
