"""A training step in a handful of Triton kernels, for many small steps on a GPU. Experimental.

`fused_step_for` is all that the rest of the package knows: it gives a step or says why none serves.
The step gives the numbers of `coopetition.train.compute.step.TrainingStep` to float tolerance and
keeps weights and moments where `coopetition.train.optimisation.optimiser.Optimiser` has them.
Triton is imported when a step is built, not before.
"""

from .fused_step import fused_step_for

__all__ = ["fused_step_for"]
