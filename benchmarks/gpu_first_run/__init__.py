"""A first run on a GPU, in two parts of less than eight minutes each: is it right, and how fast is every part of it.

    python -m benchmarks.gpu_first_run part1    # correctness; every GEMM variant, batch size and kernel
    python -m benchmarks.gpu_first_run part2    # LoadGen's scenarios, transformers, the profiler's counters

Each step is a process of its own with a time limit, so that one that fails or hangs costs only its own figures.
"""
