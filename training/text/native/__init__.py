"""The text's hot loops in C++, optional: the modules next to this room are their plain twins."""
