"""The machine: processor, cores, memory, and the limits set by the kernel."""
