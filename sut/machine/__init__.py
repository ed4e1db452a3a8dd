"""The machine: processor, cores, memory, and the limits that the kernel sets."""
