"""Before a run on a GPU: two steps by the plain path and by the chosen one, from equal states.

Each way to compute steps, the fastest first, takes two steps that plain PyTorch takes too, one
operation at a time. A way that raises, or gives other losses, moments or weights, is left for the
next. Weights, moments and the data's streams are afterwards what they were.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ...errors import TrainingError
from ...settings.training import Matmul
from ..sequences.batch import Batch, batch_at
from ..sequences.batches import BatchStream
from .gpu.capture import WARM_UP, Recorder, room_for
from .step import TrainingStep

STEPS = 2
# of losses, and of each tensor's moments relative to their size, by precision of matrix products
TOLERANCE: dict[Matmul, float] = {"fp32": 1e-3, "tf32x3": 1e-3, "tf32": 3e-2, "bf16": 1e-1}
FLOOR = 1e-2  # of the mean tensor's moments: sizes below are a gradient of 0 but for rounding
ROUNDING = 1e-6  # of weights


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckedPath:
    """How steps are computed after the check, and what was against each faster way."""

    kernels: str
    captured: bool
    problems: tuple[str, ...]
    tolerance: float

    def summary(self) -> str:
        """What was compared, for ``run.json``."""
        plain = (self.kernels, self.captured) == ("plain", False)
        result = (
            "plain steps are taken one by one"
            if plain
            else f"{STEPS} steps equal plain ones to {self.tolerance:g}"
        )
        return "; ".join((*self.problems, result))


def check_paths(step: TrainingStep, stream: BatchStream, recorder: Recorder | None) -> CheckedPath:
    """Put a new run's step on the fastest path that agrees with plain PyTorch."""
    block = stream.refill_if_empty().show(0, min(STEPS, stream.block))
    batches = [batch_at(block, i % len(block.target)) for i in range(STEPS)]
    before = copy_of(step)
    expected = torch.stack([step.compute_plain(batch).clone() for batch in batches]), copy_of(step)
    step.load_state_tensors(before)
    tolerance, problems = TOLERANCE[step.matmul], list[str]()
    while True:
        kernels = step.choice.kernels
        for graphs in (None,) if recorder is None else (recorder, None):
            problem = ""
            if (kernels, graphs) != ("plain", None):
                problem = problem_of(step, batches, graphs, before, expected, tolerance)
            if not problem:
                if step.fused is not None:
                    step.optimiser.forget_gradients()
                return CheckedPath(
                    kernels=kernels,
                    captured=graphs is not None,
                    problems=tuple(problems),
                    tolerance=tolerance,
                )
            problems.append(f"{kernels} steps{' in a graph' if graphs else ''}: {problem}")
        step.use_plain("; ".join(problems))


def copy_of(step: TrainingStep) -> dict[str, Tensor]:
    """Weights, moments and count of steps, on the CPU; nothing may wait."""
    return {name: tensor.cpu().clone() for name, tensor in step.present_tensors().items()}


def problem_of(
    step: TrainingStep,
    batches: Sequence[Batch],
    graphs: Recorder | None,
    before: Mapping[str, Tensor],
    expected: tuple[Tensor, Mapping[str, Tensor]],
    tolerance: float,
) -> str:
    """Why a path's steps are not accepted, or empty; leaves the step in state ``before``."""
    try:
        if graphs is None:
            losses = [step.compute(batch).clone() for batch in batches]
        else:
            losses = replayed(step, batches, graphs, before)
        step.settle()
        problem = difference(torch.stack(losses), copy_of(step), before, *expected, tolerance)
    except Exception as error:  # whatever it is, there is a simpler way
        problem = (str(error).strip() or repr(error)).splitlines()[0]
    try:
        step.load_state_tensors(before)
    except RuntimeError as error:  # after a fault a GPU computes nothing more in this process
        raise TrainingError(
            f"{step.choice.kernels} steps broke the device ({problem}); train with "
            "run.kernels = plain and run.capture = off"
        ) from error
    return problem


def replayed(
    step: TrainingStep, batches: Sequence[Batch], recorder: Recorder, before: Mapping[str, Tensor]
) -> list[Tensor]:
    """Losses ``(M,)`` of steps that a graph of one step takes."""
    first = batches[0]
    place = first.map(lambda part: room_for(part[None], 1)[0])

    def put(batch: Batch) -> None:
        place.examples.copy_(batch.examples)
        place.labels.copy_(batch.labels)
        place.target.copy_(batch.target)

    loss = torch.zeros(step.network.members, device=first.examples.device)

    def work() -> None:
        loss.copy_(step.compute(place))

    losses = []
    with recorder.aside():
        put(first)
        for _ in range(WARM_UP):
            work()
        step.load_state_tensors(before)
        replay = recorder.record(work)
        for batch in batches:
            put(batch)
            replay()
            losses.append(loss.clone())
    return losses


def difference(
    losses: Tensor,
    state: Mapping[str, Tensor],
    before: Mapping[str, Tensor],
    expected_losses: Tensor,
    expected: Mapping[str, Tensor],
    tolerance: float,
) -> str:
    """Where losses ``(steps, M)`` and states of two paths differ by more than they may; or empty.

    Moments are linear and quadratic in the gradients. Adam's step has nearly the size of the
    learning rate whatever the gradient's: where a share τ of the gradients is smaller than its
    error, weights differ by 2√τ of their change. A gradient that vanishes says nothing of them.
    """
    if not torch.allclose(losses, expected_losses, rtol=tolerance, atol=tolerance):
        return f"losses differ by {float((losses - expected_losses).abs().max()):.2g}"
    if not torch.equal(state["steps"], expected["steps"]):
        return "steps are counted otherwise"
    for order in ("moment_1", "moment_2"):
        names = [name for name in expected if name.startswith(order)]
        sizes = {name: size(expected[name]) for name in names}
        for name in names:
            allowed = 2 * tolerance * (sizes[name] + FLOOR * sum(sizes.values()) / len(sizes))
            if not (size(state[name] - expected[name]) <= allowed).all():
                return f"{name} differs"
    for name in [name for name in expected if name.startswith("parameters/")]:
        moment = expected.get(name.replace("parameters/", "moment_1/"))
        counts = torch.ones_like(expected[name])
        if moment is not None:
            least = tolerance * size(moment).view(-1, *(1,) * (moment.ndim - 1))
            counts = ((moment.abs() > least) | (moment == 0)).float()
        allowed = 2 * tolerance**0.5 * size(counts * (expected[name] - before[name]))
        allowed += ROUNDING * size(expected[name])
        if not (size(counts * (state[name] - expected[name])) <= allowed).all():
            return f"{name} differs"
    return ""


def size(tensor: Tensor) -> Tensor:
    """Root of the mean square of each member's entries, ``(M,)``."""
    entries = tensor.flatten(1)
    norms: Tensor = torch.linalg.vector_norm(entries, dim=1, dtype=torch.float64)
    return norms.div(entries.shape[1] ** 0.5)
