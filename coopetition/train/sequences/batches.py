"""The stream of training batches: sequences drawn in blocks, exemplars looked up on the device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from ...errors import CheckpointError
from ...seeds import stream_seed
from ...settings.training import DataSettings, Part, SequenceKind, TrainingSettings
from ..data import Dataset
from ..data.dataset import data_stream
from .batch import Batch, Block, Exemplars, batch_at
from .draws import SequenceDraws, SequenceIndices, class_draws

BLOCK_BYTES = 2**25  # most bytes of exemplars in one member's block: images are large
ON_GPU = 16  # as many times longer are blocks on a GPU: a draw is dozens of small operations


def require_room(kinds: Sequence[SequenceKind], context_len: int, n_labels: int) -> None:
    """Refuse sequences that need a longer context or more labels than there are."""
    for kind in kinds:
        bursty = kind.burstiness * (2 if kind.distractor else 1)
        if bursty > context_len:
            raise ValueError(
                f"burstiness = {kind.burstiness}: needs a context of {bursty}, not {context_len}"
            )
        distinct = 2 if kind.burstiness and kind.distractor else 1
        if kind.unique_rest:
            distinct += context_len - bursty
        elif kind.no_support and bursty < context_len:
            distinct += 1
        if kind.labels in ("random", "binary"):
            distinct = max(distinct, 2)
        if distinct > n_labels:
            raise ValueError(
                f"a sequence needs {distinct} different labels, the data have {n_labels}: raise "
                "data.n_classes (and data.n_labels where it is not 0), or shorten "
                "sequences.context_len"
            )


def sequence_draws(
    dataset: Dataset,
    data: DataSettings,
    kinds: Sequence[SequenceKind],
    *,
    context_len: int,
    match_probability: float = 0.0,
    label_noise: float = 0.0,
    zipf_exponent: float = 0.0,
    classes: Part = "train",
    exemplars: Part = "train",
    device: torch.device | str = "cpu",
) -> SequenceDraws:
    """Draws of ``kinds`` of sequences, mixed, from one part of a data set with settings ``data``.

    Held-out exemplars belong to training classes; held-out classes have all their exemplars.
    """
    first, number = dataset.classes[classes]
    exemplars = exemplars if classes == "train" else "train"
    if number == 0 or dataset.exemplar_parts[exemplars][1] == 0:
        raise ValueError(
            f"no {classes} classes with {exemplars} exemplars are there: set "
            f"data.{classes}_classes or data.{exemplars}_exemplars"
        )
    labels = dataset.class_labels
    if classes != "train":
        if any(kind.labels not in ("binary", "random") for kind in kinds):
            raise ValueError(
                f"classes = {classes!r}: held-out classes have no labels of their own; use labels "
                "'binary' or 'random'"
            )
        labels = np.arange(number, dtype=np.int64)
    require_room(kinds, context_len, len(np.unique(labels)))
    shared = dataset.n_labels < dataset.classes["train"][1]
    return SequenceDraws(
        draws=class_draws(
            labels,
            zipf_exponent=zipf_exponent,
            first=first,
            # neighbours share a label: ranks in order would make some labels frequent as a whole
            rng=data_stream(data) if shared else None,
            device=device,
        ),
        # only held-out classes can outnumber the labels, and their sequences are re-labelled
        class_labels=torch.as_tensor(labels % dataset.n_labels, device=device),
        n_labels=dataset.n_labels,
        exemplars=dataset.exemplar_parts[exemplars],
        context_len=context_len,
        kinds=tuple(kinds),
        match_probability=match_probability,
        label_noise=label_noise,
    )


def training_draws(
    settings: TrainingSettings, dataset: Dataset, device: torch.device | str = "cpu"
) -> SequenceDraws:
    """Draws of sequences as a run trains on them."""
    sequences = settings.sequences
    return sequence_draws(
        dataset,
        settings.data,
        sequences.kinds,
        context_len=sequences.context_len,
        match_probability=sequences.match_probability,
        label_noise=sequences.label_noise,
        zipf_exponent=sequences.zipf_exponent,
        device=device,
    )


def block_length(settings: TrainingSettings, input_dim: int, device: str) -> int:
    """Batches in a block on a kind of device (``cpu``, ``cuda``)."""
    length = settings.run.block * (1 if device == "cpu" else ON_GPU)
    sequence_bytes = 4 * input_dim * (settings.sequences.context_len + 1)
    batch_bytes = sequence_bytes * settings.optimisation.batch_size
    return max(1, min(length, BLOCK_BYTES // batch_bytes))


class MemberStream:
    """The endless training sequences of one member, drawn a block at a time."""

    def __init__(
        self, settings: TrainingSettings, exemplars: Exemplars, device: torch.device
    ) -> None:
        self.exemplars = exemplars
        self.batch_size = settings.optimisation.batch_size
        self.noise = settings.sequences.input_noise
        self.draws = training_draws(settings, exemplars.dataset, device)
        # the block depends on the member alone: its sequences are the same in every ensemble
        self.block = block_length(settings, exemplars.dataset.input_dim, device.type)
        self.generator = torch.Generator(device=device)
        self.generator.manual_seed(stream_seed(settings.run.seed, "data"))

    def draw(self) -> tuple[SequenceIndices, Tensor | None]:
        """A block's sequences, and the noise of their exemplars."""
        sequences = self.draws.draw(self.block * self.batch_size, self.generator)
        if self.noise == 0:
            return sequences, None
        shape = (*sequences.classes.shape, self.exemplars.dataset.input_dim)
        noise = torch.randn(shape, generator=self.generator, device=sequences.classes.device)
        return sequences, noise.mul_(self.noise)


class BatchStream:
    """The batches of an ensemble; each member draws from its own stream.

    Mutable, for the hot loop: `state` and `load_state` carry it through a checkpoint, to the batch.
    Nothing in it waits for the device. Batch size, context length and block of the members agree.
    """

    def __init__(
        self,
        members: Sequence[TrainingSettings],
        exemplars: Sequence[Exemplars],
        device: torch.device,
    ) -> None:
        self.members = [
            MemberStream(settings, own, device)
            for settings, own in zip(members, exemplars, strict=True)
        ]
        self.exemplars = tuple(exemplars)
        # a CPU looks up whole blocks; on a GPU that would be gigabytes for an ensemble
        self.shows_whole_blocks = device.type == "cpu"
        self.block, self.batch_size = self.members[0].block, self.members[0].batch_size
        self.before = [member.generator.get_state() for member in self.members]
        self.position = self.block  # batches of the present block already used
        self.drawn: Block | None = None
        self.shown: Batch | None = None  # the whole block, with a leading axis

    def __next__(self) -> Batch:
        return batch_at(self.take(1), 0)

    def __iter__(self) -> BatchStream:
        return self

    def take(self, most: int) -> Batch:
        """The next batches of the present block, up to ``most``, with a leading axis for them."""
        block = self.refill_if_empty()
        first, last = self.position, min(self.position + most, self.block)
        self.position = last
        return (
            block.show(first, last)
            if self.shown is None
            else batch_at(self.shown, slice(first, last))
        )

    def peek(self) -> Batch:
        """The first batch of the present block, with a leading axis; none is used up."""
        return self.refill_if_empty().show(0, 1)

    def fill(self, into: Batch, count: int) -> None:
        """Overwrite the first ``count`` batches along a leading axis with the next ones."""
        filled = 0
        while filled < count:
            batches = self.take(count - filled)
            part = slice(filled, filled + len(batches.target))
            into.examples[part].copy_(batches.examples)
            into.labels[part].copy_(batches.labels)
            into.target[part].copy_(batches.target)
            filled = part.stop

    def refill_if_empty(self) -> Block:
        """The present block, or the next one where all of it is used up."""
        if self.drawn is None or self.position == self.block:
            self.before = [member.generator.get_state() for member in self.members]
            self.drawn = self.shown = None  # frees the memory for the next
            sequences, noise = zip(*(member.draw() for member in self.members), strict=True)
            self.drawn = Block(self.exemplars, sequences, noise, (self.block, self.batch_size))
            self.shown = self.drawn.show(0, self.block) if self.shows_whole_blocks else None
            self.position = 0
        return self.drawn

    def state(self) -> dict[str, Tensor]:
        """Tensors from which `load_state` continues with the very next batch."""
        state = {f"generator.{i}": before.clone() for i, before in enumerate(self.before)}
        state["position"] = torch.tensor(-1 if self.drawn is None else self.position)
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state`."""
        position = int(state["position"])
        if len(state) != len(self.members) + 1 or not -1 <= position <= self.block:
            raise CheckpointError(
                f"the checkpoint's data stream is of {len(state) - 1} members at batch {position} "
                f"of a block, this run has {len(self.members)} and blocks of {self.block}"
            )
        for i, member in enumerate(self.members):
            try:
                member.generator.set_state(state[f"generator.{i}"])
            except RuntimeError as error:  # generators of CPUs and GPUs have different states
                raise CheckpointError(
                    "the checkpoint's data stream is of another kind of device; continue the run "
                    f"on the kind where it began ({error})"
                ) from error
        self.drawn, self.position = None, self.block
        if position >= 0:  # -1: no block was drawn yet
            self.refill_if_empty()
            self.position = position
