"""Fixed sequences on which a network is measured: which strategy answers which of them.

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
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import CheckpointError
from ..seeds import stream_seed
from .batch import Batch
from .batches import Exemplars, sequence_draws
from .metrics import metrics
from .sequences import Drawn
from .settings import EvaluatorSettings, SequenceKind, TrainingSettings

Values = dict[str, dict[str, NDArray[np.float32]]]  # evaluator, metric: (n_sequences,)
FIELDS = ("classes", "exemplars", "labels", "target")
ABSENT = SequenceKind(burstiness=0, no_support=True, unique_rest=True)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Evaluator:
    """The stored sequences of one evaluator.

    Parameters
    ----------
    name
        The evaluator's name.
    sequences
        Its sequences, on the device.
    input_noise
        Standard deviation added to exemplars shown, the same noise at every evaluation.
    seed
        Seed of that noise.
    """

    name: str
    sequences: Drawn
    input_noise: float
    seed: int


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
    """All evaluators of a run, drawn on the CPU so that every device has the same sequences.

    Raises
    ------
    ValueError
        If an evaluator needs classes, exemplars or labels that are not there.
    """
    chosen = [
        None if name == "train" else standard(name, settings) for name in settings.evaluation.names
    ]
    return [
        make_evaluator(evaluator, settings, exemplars, device)
        for evaluator in [*chosen, *settings.evaluation.extra]
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
    common: dict[str, Any] = {}
    if evaluator is None:
        kinds, length = training.kinds, training.context_len
        common = {
            "match_probability": training.match_probability,
            "label_noise": training.label_noise,
            "zipf_exponent": training.zipf_exponent,
        }
    else:
        kinds, length = (evaluator.kind,), evaluator.context_len or training.context_len
        common = {
            "match_probability": evaluator.match_probability,
            "classes": evaluator.classes,
            "exemplars": evaluator.exemplars,
        }
    try:
        draws = sequence_draws(
            exemplars.dataset, settings.data, kinds, context_len=length, **common
        )
    except ValueError as error:
        raise ValueError(f"evaluator {name}: {error}") from error
    seed = stream_seed(settings.run.seed, f"evaluation/{name}")
    drawn = draws.draw(settings.evaluation.n_sequences, torch.Generator().manual_seed(seed))
    return Evaluator(
        name=name,
        sequences=Drawn(**{field: getattr(drawn, field).to(device) for field in FIELDS}),
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
    """Every metric of every evaluator for each member's own sequences.

    Parameters
    ----------
    network
        ``network(examples, labels, target)`` gives logits ``(members, n, n_labels)``.
    evaluators
        Each member's, the same names in the same order.
    exemplars
        Each member's data set.
    batch_size
        Sequences at once; it changes memory and time only.

    Returns
    -------
    list of dict
        For each member, evaluator and metric the values, shape ``(n_sequences,)``.
    """
    results: list[Values] = [{} for _ in evaluators]
    for same in zip(*evaluators, strict=True):
        parts: list[dict[str, Tensor]] = []
        n = len(same[0].sequences.target)
        generators = [torch.Generator().manual_seed(evaluator.seed) for evaluator in same]
        for start in range(0, n, batch_size):
            batch = shown(same, exemplars, slice(start, start + batch_size), generators)
            logits = network(batch.examples, batch.labels, batch.target)
            parts.append(metrics(logits, batch.labels, batch.target))
        for metric in parts[0]:
            values = torch.cat([part[metric] for part in parts], dim=1).cpu().numpy()
            for member, result in enumerate(results):
                result.setdefault(same[0].name, {})[metric] = values[member]
    return results


def shown(
    evaluators: Sequence[Evaluator],
    exemplars: Sequence[Exemplars],
    rows: slice,
    generators: Sequence[torch.Generator] | None = None,
) -> Batch:
    """Some of the sequences of one evaluator, each member's own, as a batch."""
    generators = generators or [torch.Generator().manual_seed(e.seed) for e in evaluators]
    return Batch(
        examples=torch.stack(
            [
                shown_noisily(evaluator, data, rows, generator)
                for evaluator, data, generator in zip(
                    evaluators, exemplars, generators, strict=True
                )
            ]
        ),
        labels=torch.stack([evaluator.sequences.labels[rows] for evaluator in evaluators]),
        target=torch.stack([evaluator.sequences.target[rows] for evaluator in evaluators]),
    )


def shown_noisily(
    evaluator: Evaluator, exemplars: Exemplars, rows: slice, generator: torch.Generator
) -> Tensor:
    """Exemplars of some of an evaluator's sequences, with its input noise."""
    sequences = evaluator.sequences
    shown = exemplars.show(sequences.classes[rows], sequences.exemplars[rows])
    if evaluator.input_noise == 0:
        return shown
    noise = torch.randn(shown.shape, generator=generator)  # on the CPU: the same on every device
    return shown + evaluator.input_noise * noise.to(shown.device)


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
    """The evaluators with the sequences that `stored` kept.

    Raises
    ------
    CheckpointError
        If an evaluator is missing among them.
    """
    result = []
    for evaluator in evaluators:
        if f"{evaluator.name}.classes" not in tensors:
            raise CheckpointError(
                f"the run's stored sequences have no evaluator {evaluator.name!r}; it cannot be "
                "added to a run that has begun"
            )
        fields = {field: tensors[f"{evaluator.name}.{field}"].to(device) for field in FIELDS}
        result.append(dataclasses.replace(evaluator, sequences=Drawn(**fields)))
    return result
