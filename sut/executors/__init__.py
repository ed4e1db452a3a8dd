"""Run instances in this process (inline) or in separate processes (processes)."""
