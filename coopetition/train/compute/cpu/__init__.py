"""Compiled forward and backward passes of a training step on a CPU."""
