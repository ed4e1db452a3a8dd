"""Attention with dropout, and dropout + residual + LayerNorm, forward and backward in C++, for float32 on a CPU."""
