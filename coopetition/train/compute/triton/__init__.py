"""A training step in a handful of Triton kernels, for many small steps on a GPU. Experimental.

The rest of the package calls only `fused_step_for`, which gives a step or says why none serves. A
step agrees with `coopetition.train.compute.step.TrainingStep` to float tolerance and works on the
optimizer's own weights and moments. Triton is imported when a step is built, not before.
"""

from .fused_step import FusedStep, fused_step_for

__all__ = ["FusedStep", "fused_step_for"]
