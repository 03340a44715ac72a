"""The fused step's Triton kernels; imported only when a fused step is built.

A kernel's programs lie on a grid of (part of the work, member). Tensors are contiguous float32
with the members first: M members, B sequences, L labels in context, T = 2L + 1 tokens, N = B·T rows
of the residual stream (sequence by sequence), d width, H heads. Every sum has a fixed order, so a
step repeated on the same inputs gives the same bits.
"""
