"""Where instances live: in this process (inline) or each in one of its own (processes)."""
