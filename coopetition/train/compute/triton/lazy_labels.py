"""Rows of the label embedding that are updated when they are shown, or read, and not before."""

from __future__ import annotations

import math
from typing import Any

import torch

from ...optimisation.optimiser import Optimiser
from ...sequences.batch import Batch
from .launches import Launch, Numbers
from .layout import power_of_two

# bytes of weights and moments that no GPU's cache holds (50 MB on an H200): there dense updates of
# all rows wait for memory, and fewer rows pay for the launch that brings them up to date
WORTH = 2**26
NEGLIGIBLE = 1e-9  # of a row's update: where it no longer changes weights
LONGEST = 4_096  # steps until then that are worth taking one by one
ROWS = 8  # of the embedding, that one program brings up to date when all are


def why_not_lazy(optimiser: Optimiser) -> str:
    """Why every row must be updated at every step; empty where it need not."""
    settings = optimiser.settings[0]
    if settings.schedule != "constant":
        return "the learning rate changes"
    if "label.weight" in optimiser.strengths:
        return "labels decay"
    if steps_that_count(settings.betas) > LONGEST:
        return f"betas = {settings.betas} let updates without gradients go on for long"
    return ""


def pays(optimiser: Optimiser) -> bool:
    """Whether updating only rows that are shown saves more than it costs."""
    buffers = (optimiser.parameters, *optimiser.moments)
    return sum(buffer.flat.nbytes for buffer in buffers) >= WORTH


def steps_that_count(betas: tuple[float, float]) -> float:
    """Steps without a gradient after which a row's weights hardly move."""
    first, second = betas  # the n-th such step moves weights by (β₁/√β₂)ⁿ of the last one before
    if first == 0:
        return 1
    ratio = first / math.sqrt(second) if second else math.inf
    return math.ceil(math.log(NEGLIGIBLE) / math.log(ratio)) if ratio < 1 else math.inf


class LazyLabels:
    """Launches that make up for missed steps; ``seen`` ``(M, C)`` is each row's last step taken."""

    def __init__(self, optimiser: Optimiser, numbers: Numbers) -> None:
        self.optimiser = optimiser
        settings, weight = optimiser.settings[0], optimiser.parameters.views["label.weight"]
        self.members, self.labels, width = weight.shape
        self.seen = torch.zeros(self.members, self.labels, dtype=torch.int32, device=weight.device)
        first, second = optimiser.moments
        self.arguments = {
            "label_weight": weight,
            "first_label": first.views["label.weight"],
            "second_label": second.views["label.weight"],
            "seen": self.seen,
            "steps": optimiser.steps,
            "rates": numbers.rates,
            "logs": numbers.logs,
            "n_labels": self.labels,
            "WIDTH": width,
            "BETA1": settings.betas[0],
            "BETA2": settings.betas[1],
            "EPS": settings.eps,
        }
        self.restart()

    def restart(self) -> None:
        """Declare every row up to date after the steps counted so far."""
        self.seen.copy_(self.optimiser.steps.expand_as(self.seen))

    def before(self, batch: Batch) -> Launch:
        """Brings the rows that a batch shows up to date, before its step."""
        _, count, context = batch.labels.shape
        return self.launch(
            count * context, labels=batch.labels, BATCH=count, CONTEXT=context,
            SHOWN=power_of_two(count * context), LABELS=1, EVERY=False,
        )  # fmt: skip

    def settle(self) -> Launch:
        """Brings every row up to date."""
        return self.launch(
            math.ceil(self.labels / ROWS), labels=self.optimiser.steps,  # of which nothing is read
            BATCH=1, CONTEXT=1, SHOWN=1, LABELS=ROWS, EVERY=True,
        )  # fmt: skip

    def launch(self, programs: int, **own: Any) -> Launch:
        """A launch of `make_up` with its ``own`` arguments and the shared ones."""
        from .kernels.updates import make_up

        arguments = {**self.arguments, **own}
        chosen = {name: arguments[name] for name in make_up.arg_names}
        return Launch(kernel=make_up, grid=(programs, self.members), arguments=chosen, warps=2)
