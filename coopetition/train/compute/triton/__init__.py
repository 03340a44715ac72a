"""A training step in a handful of Triton kernels, for many small steps on a GPU.

`why_not_fused` says whether it serves a network and its settings; `FusedStep` takes steps. It gives
the numbers of `coopetition.train.compute.step.TrainingStep` to float tolerance, and keeps weights
and moments where `coopetition.train.optimisation.optimiser.Optimiser` has them, so that evaluation,
checkpoints and everything else read them there, after `FusedStep.settle` where rows of the label
embedding are updated only when shown. Triton is imported when a step is built, not before.
"""

from .fused_step import FusedStep
from .support import why_not_fused

__all__ = ["FusedStep", "why_not_fused"]
