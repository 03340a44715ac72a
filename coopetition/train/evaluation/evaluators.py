"""Evaluators: fixed sequences on which a network is measured, and the strategy each one reads.

=========  ===========================================  ==================================  =======
name       sequences                                    labels                              reads
=========  ===========================================  ==================================  =======
``train``  as in training                               as in training                      both
``icl``    the query's class and a distractor           0 and 1, which is which at random   ICL
``ciwl``   the query's class absent, labels distinct    the query's replaces a random one   CIWL
``flip``   the query's class and a distractor           exchanged, in the target too        1 = ICL
``iwl``    the query's class absent, labels distinct    true                                IWL
=========  ===========================================  ==================================  =======

``icl`` and ``flip`` hold nothing but copies of the two classes (as many as fit), so that the
context never shows a true label of the query's class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...errors import CheckpointError
from ...seeds import stream_seed
from ...settings.training import EvaluatorSettings, SequenceKind, TrainingSettings
from ..sequences.batch import Batch, Exemplars, show_members
from ..sequences.batches import sequence_draws, training_draws
from ..sequences.draws import SequenceIndices
from .metrics import METRICS, metrics

Values = dict[str, dict[str, NDArray[np.float32]]]  # evaluator, metric: (n_sequences,)
FIELDS = tuple(field.name for field in dataclasses.fields(SequenceIndices))
ABSENT = SequenceKind(burstiness=0, no_support=True, unique_rest=True)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """One evaluator with its sequences."""

    name: str
    sequences: SequenceIndices  # on the device
    input_noise: float  # standard deviation added to exemplars, the same at every evaluation
    seed: int  # of that noise


def standard(name: str, settings: TrainingSettings) -> EvaluatorSettings:
    """The settings of one of the five standard evaluators, except ``train``."""
    copies = max(settings.sequences.context_len // 2, 1)
    kinds = {
        "icl": SequenceKind(burstiness=copies, labels="binary", no_support=True),
        "ciwl": ABSENT.replace(labels="query_copied"),
        "flip": SequenceKind(burstiness=copies, labels="swapped", no_support=True),
        "iwl": ABSENT,
    }
    return EvaluatorSettings(name=name, kind=kinds[name])


def make_evaluators(
    settings: TrainingSettings, exemplars: Exemplars, device: torch.device
) -> list[Evaluator]:
    """All evaluators of a run, drawn on the CPU so that every device has the same sequences."""
    names = settings.evaluation.names
    standards = [None if name == "train" else standard(name, settings) for name in names]
    return [
        make_evaluator(evaluator, settings, exemplars, device)
        for evaluator in [*standards, *settings.evaluation.extra]
    ]


def make_evaluator(
    evaluator: EvaluatorSettings | None,
    settings: TrainingSettings,
    exemplars: Exemplars,
    device: torch.device,
) -> Evaluator:
    """One evaluator; None stands for ``train``, whose sequences are as in training."""
    training = settings.sequences
    name = "train" if evaluator is None else evaluator.name
    try:
        if evaluator is None:
            draws = training_draws(settings, exemplars.dataset)
        else:
            draws = sequence_draws(
                exemplars.dataset,
                settings.data,
                (evaluator.kind,),
                context_len=evaluator.context_len or training.context_len,
                match_probability=evaluator.match_probability,
                classes=evaluator.classes,
                exemplars=evaluator.exemplars,
            )
    except ValueError as error:
        raise ValueError(f"evaluator {name}: {error}") from error
    seed = stream_seed(settings.run.seed, f"evaluation/{name}")
    indices = draws.draw(settings.evaluation.n_sequences, torch.Generator().manual_seed(seed))
    fields = {field: getattr(indices, field).to(device) for field in FIELDS}
    return Evaluator(
        name=name,
        sequences=SequenceIndices(**fields),
        input_noise=training.input_noise if evaluator is None else evaluator.input_noise,
        seed=stream_seed(settings.run.seed, f"evaluation/{name}/noise"),
    )


@torch.no_grad()
def evaluate(
    network: Callable[..., Tensor],
    evaluators: Sequence[Sequence[Evaluator]],
    exemplars: Sequence[Exemplars],
    *,
    batch_size: int,
) -> list[Values]:
    """Every metric of every evaluator for each member's own sequences, ``(n_sequences,)`` each.

    ``network(examples, labels, target)`` gives logits ``(members, n, n_labels)``; every member has
    evaluators of the same names in the same order. ``batch_size`` changes memory and time only.
    """
    evaluations: dict[str, Tensor] = {}  # (metrics, members, n)
    for own in zip(*evaluators, strict=True):
        parts = []
        for batch in batches(own, exemplars, batch_size):
            logits = network(batch.examples, batch.labels, batch.target)
            values = metrics(logits, batch.labels, batch.target)
            parts.append(torch.stack([values[name] for name in METRICS]))
        evaluations[own[0].name] = torch.cat(parts, dim=-1)
    # one transfer, so that a device computes everything without a pause
    flat = torch.cat([values.flatten() for values in evaluations.values()]).cpu()
    sizes = [values.numel() for values in evaluations.values()]
    arrays = {
        name: part.view(evaluations[name].shape).numpy()
        for name, part in zip(evaluations, torch.split(flat, sizes), strict=True)
    }
    return [
        {name: dict(zip(METRICS, values[:, i], strict=True)) for name, values in arrays.items()}
        for i in range(len(evaluators))
    ]


def batches(
    evaluators: Sequence[Evaluator], exemplars: Sequence[Exemplars], batch_size: int
) -> Iterator[Batch]:
    """The sequences of one evaluator of every member, with their noise, in batches."""
    generators = [torch.Generator().manual_seed(evaluator.seed) for evaluator in evaluators]
    classes, numbers, labels, target = (
        torch.stack([getattr(evaluator.sequences, field) for evaluator in evaluators])
        for field in FIELDS
    )
    for start in range(0, target.shape[1], batch_size):
        rows = slice(start, start + batch_size)
        examples = show_members(exemplars, classes[:, rows], numbers[:, rows], axis=0)
        for member, (evaluator, generator) in enumerate(zip(evaluators, generators, strict=True)):
            if evaluator.input_noise > 0:
                # drawn on the CPU: the same on every device
                noise = torch.randn(examples[member].shape, generator=generator)
                examples[member] += evaluator.input_noise * noise.to(examples.device)
        yield Batch(examples=examples, labels=labels[:, rows], target=target[:, rows])


def stored(evaluators: Iterable[Evaluator]) -> dict[str, Tensor]:
    """The sequences of evaluators as flat tensors, ``NAME.classes`` and so on."""
    return {
        f"{evaluator.name}.{field}": getattr(evaluator.sequences, field).cpu().contiguous()
        for evaluator in evaluators
        for field in FIELDS
    }


def restored(
    evaluators: Iterable[Evaluator], tensors: Mapping[str, Tensor], device: torch.device
) -> list[Evaluator]:
    """The evaluators with sequences from `stored` tensors."""
    result = []
    for evaluator in evaluators:
        if f"{evaluator.name}.classes" not in tensors:
            raise CheckpointError(
                f"the run's stored sequences have no evaluator {evaluator.name!r}; it cannot be "
                "added to a run that has begun"
            )
        fields = {field: tensors[f"{evaluator.name}.{field}"].to(device) for field in FIELDS}
        result.append(dataclasses.replace(evaluator, sequences=SequenceIndices(**fields)))
    return result
