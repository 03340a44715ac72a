"""What a training run is: one small frozen class for each thing that has settings.

Every class is validated when it is made, refuses names it does not know, and can be written to and
read from YAML (`coopetition.settings.yaml_files`). Nothing here imports torch.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import pydantic

from ..curves.curve import EVALUATORS
from ..curves.evaluators import lasting_evaluator
from ..errors import unknown_name
from .base import Count, NonNegative, Positive, Rate, Settings, Share

FOLDER_NAME = re.compile(r"[^/\\\x00-\x1f]*\w[^/\\\x00-\x1f]*")
Head = Annotated[str, pydantic.Field(pattern=r"^\d+\.\d+$")]  # "layer.head", both from 0
Part = Literal["train", "validation", "test"]
Kernels = Literal["auto", "fused", "plain"]
Matmul = Literal["fp32", "tf32x3", "tf32", "bf16"]
Labels = Literal["true", "swapped", "binary", "random", "query_copied"]


class DataSettings(Settings):
    """Which classes and exemplars there are."""

    kind: Literal["gaussian", "glyphs", "omniglot", "embeddings", "onehot"] = "gaussian"
    n_classes: Count = 12_800  # for training; 0 = all of the file's that the splits leave
    n_exemplars: Count = 20  # of each class, for training; 0 = all that the splits leave
    validation_classes: Count = 0
    test_classes: Count = 0
    validation_exemplars: Count = 0
    test_exemplars: Count = 0
    n_labels: Count = 0  # 0 = a label for each class; fewer: neighbouring classes share one
    dim: Positive = 64  # entries of a Gaussian exemplar
    spread: NonNegative = 0.5  # within-class standard deviation / between-class
    image_size: Positive = 28  # edge of a drawn glyph, or of Omniglot after averaging 105 pixels
    jitter: NonNegative = 1.0  # how much the drawings of one glyph differ; 0 = not at all
    path: str | None = None  # Omniglot's folder or zip; an HDF5 or .npy file of embeddings
    path_in_file: str = "resnet18/224/feat"  # the data set inside an HDF5 file
    seed: Count = 0  # which data set is drawn: runs of different seeds may share one

    @pydantic.model_validator(mode="after")
    def path_is_read(self) -> DataSettings:
        """Refuse a file that nobody would read."""
        if self.path is not None and self.kind not in ("omniglot", "embeddings"):
            raise ValueError(
                f"path = {self.path!r}: {self.kind} classes are made, not read from a file; set "
                "kind to embeddings or omniglot, or leave path out"
            )
        return self


class SequenceKind(Settings):
    """One kind of training sequence, and how often it comes."""

    share: NonNegative = 1.0  # of the sequences, relative to the other kinds
    burstiness: Count = 1  # copies of the query's class in context, and of the distractor's
    distractor: bool = True  # a second class, as often in context as the query's
    no_support: bool = False  # the query's label never among the rest of the context
    unique_rest: bool = False  # labels of the rest of the context all distinct
    labels: Labels = "true"  # see `coopetition.train.sequences.labels`


class SequenceSettings(Settings):
    """What a training sequence looks like (DataSettings says what is in it)."""

    context_len: Positive = 2  # exemplar–label pairs before the query
    burstiness: Count = 1
    distractor: bool = True
    bursty_share: Share = 1.0  # share of bursty sequences; the others draw every class freely
    no_support: bool = False
    unique_rest: bool = False
    labels: Labels = "true"  # "random" = ICL-only data; "query_copied" = CIWL-only data
    mixture: tuple[SequenceKind, ...] = ()  # where given, instead of the six above
    match_probability: Share = 0.0  # share of sequences whose copies repeat the query's exemplar
    zipf_exponent: NonNegative = 0.0  # class of rank r is drawn with probability ∝ r^−exponent
    label_noise: Share = 0.0  # how often a class has a random label throughout a sequence
    input_noise: NonNegative = 0.0  # standard deviation added to each exemplar shown

    @property
    def kinds(self) -> tuple[SequenceKind, ...]:
        """The kinds that are mixed, those of share 0 left out."""
        own = SequenceKind(
            share=self.bursty_share,
            **{name: getattr(self, name) for name in SequenceKind.model_fields if name != "share"},
        )
        free = SequenceKind(share=1 - self.bursty_share, burstiness=0)
        return tuple(kind for kind in (self.mixture or (own, free)) if kind.share > 0)

    @pydantic.model_validator(mode="after")
    def fits_context(self) -> SequenceSettings:
        """Refuse sequences that cannot be made."""
        if not self.kinds:
            raise ValueError("mixture has no kind with a positive share")
        for kind in self.kinds:
            needed = kind.burstiness * (2 if kind.distractor else 1)
            if needed > self.context_len:
                raise ValueError(
                    f"burstiness = {kind.burstiness}: needs context_len >= {needed}, "
                    f"not {self.context_len}"
                )
            if kind.labels in ("swapped", "binary", "random") and not (
                kind.burstiness and kind.distractor
            ):
                raise ValueError(
                    f"labels = {kind.labels!r}: re-labels the query's class and the distractor, so "
                    "it needs burstiness >= 1 and distractor = true"
                )
        return self


class NetworkSettings(Settings):
    """The transformer."""

    depth: Positive = 2
    width: Positive = 64
    heads: Positive = 8
    mlp_ratio: NonNegative = 0.0  # width of an MLP's hidden layer / width; 0 = attention only
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = "learned"
    time_scale: Rate = 10_000.0  # longest wavelength of sinusoidal and rotary positions
    n_labels: Count = 0  # 0 = as many as the data have
    input: Literal["vector", "onehot", "image"] = "vector"
    input_dim: Count = 0  # entries of an exemplar (pixels of an image); 0 = as the data have
    encoder: Literal["linear", "resnet"] = "linear"
    max_context_len: Count = 0  # longest context positions are learned for; 0 = the longest used
    bias: bool = False  # of the queries, keys, values and the projection
    final_norm: bool = True

    @pydantic.model_validator(mode="after")
    def heads_divide_width(self) -> NetworkSettings:
        """Refuse heads of unequal width and an encoder that cannot read the input."""
        if self.width % self.heads:
            raise ValueError(f"heads = {self.heads}: must divide width = {self.width}")
        if self.positions in ("sinusoidal", "rotary") and (self.width // self.heads) % 2:
            raise ValueError(f"width = {self.width}: {self.positions} positions need even heads")
        if self.encoder == "resnet" and self.input != "image":
            raise ValueError(f"encoder = 'resnet': needs input = 'image', not {self.input!r}")
        return self


class OptimisationSettings(Settings):
    """How the loss is brought down. Steps here are optimizer steps, not sequences."""

    batch_size: Positive = 32
    micro_batches: Positive = 1  # parts of a batch whose gradients are averaged
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: Rate = 1e-5
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: Rate = 1e-8
    schedule: Literal["constant", "warmup_decay", "cosine"] = "constant"
    warmup_steps: Count = 4_000
    decay_steps: Positive = 1_000_000
    lr_floor: NonNegative = 1e-5  # where a schedule starts from and ends
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    weight_decay: NonNegative = 0.0
    weight_decay_kind: Literal["decoupled", "squared", "norm"] = "squared"
    weight_decay_on: Literal["all", "attention", "mlp", "encoder", "embeddings"] = "all"
    clip_norm: Rate | None = None  # largest global norm of the gradient
    reinitialise_embeddings_every: Count = 0  # steps; 0 = never
    reinitialise_embeddings_until: Count = 0  # last step at which they are; 0 = to the end

    @pydantic.model_validator(mode="after")
    def micro_batches_divide_batch(self) -> OptimisationSettings:
        """Refuse unequal micro-batches."""
        if self.batch_size % self.micro_batches:
            raise ValueError(
                f"micro_batches = {self.micro_batches}: must divide batch_size = {self.batch_size}"
            )
        return self


class EvaluatorSettings(Settings):
    """One set of fixed sequences on which the network is measured."""

    name: str
    context_len: Count = 0  # 0 = as in training
    kind: SequenceKind = SequenceKind()
    match_probability: Share = 0.0
    input_noise: NonNegative = 0.0
    classes: Part = "train"
    exemplars: Part = "train"


class EvaluationSettings(Settings):
    """What is measured, on how many sequences and how often."""

    names: tuple[str, ...] = EVALUATORS  # which of the five standard ones
    extra: tuple[EvaluatorSettings, ...] = ()
    n_sequences: Positive = 1_000  # of each evaluator
    every: Positive = 8_000  # training sequences between evaluations; also at start and end
    at: tuple[Count, ...] = ()  # further training-sequence counts
    batch_size: Positive = 1_000

    @pydantic.model_validator(mode="after")
    def names_are_known(self) -> EvaluationSettings:
        """Refuse names that do not exist, are given twice or do not last, and no name at all."""
        if not self.names and not self.extra:
            raise ValueError(
                "names = []: a run without an evaluator measures nothing; name at least one of "
                + ", ".join(EVALUATORS)
            )
        for name in self.names:
            if name not in EVALUATORS:
                raise unknown_name("evaluator", name, EVALUATORS)
        every_name = [*self.names, *(lasting_evaluator(each.name) for each in self.extra)]
        for name in every_name:
            if every_name.count(name) > 1:
                raise ValueError(f"evaluator {name!r} is given twice; rename one")
        return self


class InterventionSettings(Settings):
    """What is done to the network from outside. Heads are written ``layer.head``, from 0."""

    start_from: str | None = None  # a checkpoint: ours, or the reference's .eqx
    start_with: Literal["weights", "optimizer"] = "weights"  # "optimizer" = its state as well
    freeze: tuple[str, ...] = ()  # parameters whose names begin so
    graft_from: str | None = None  # a checkpoint whose layers replace ours, frozen
    graft_above: Count | None = None  # layers from here on, and the unembedding
    graft_below: Count | None = None  # layers below this, and the embeddings
    ablate_heads: tuple[Head, ...] = ()
    previous_token_heads: tuple[Head, ...] = ()  # forced to attend to the token before
    matching_label_heads: tuple[Head, ...] = ()  # forced to attend to the matching exemplar's label
    forbid_previous_token_heads: tuple[Head, ...] = ()
    forbid_matching_label_heads: tuple[Head, ...] = ()
    head_temperatures: dict[Head, Rate] = pydantic.Field(default_factory=dict)

    @pydantic.model_validator(mode="after")
    def grafts_have_a_source(self) -> InterventionSettings:
        """Refuse places for a graft without the checkpoint that it comes from."""
        for name in ("graft_above", "graft_below"):
            if getattr(self, name) is not None and self.graft_from is None:
                raise ValueError(
                    f"{name} = {getattr(self, name)}: there is nothing to graft; give graft_from"
                )
        return self


class RunSettings(Settings):
    """How long a run is, from which seed, and what it leaves on disk."""

    seed: Count = 0  # of the streams init, data and evaluation
    sequences: Positive = 1_000_000  # training sequences in all
    checkpoint_every: Count = 100_000  # sequences between checkpoints; 0 = only the last
    checkpoint_at: tuple[Count, ...] = ()  # further ones, kept for good
    keep_checkpoints: Positive = 2  # newest of the regular ones that are kept
    block: Positive = 64  # batches sampled at once; a GPU samples 16 times as many
    per_sequence: bool = True  # keep each evaluation sequence's values, not only their means
    measures_every: Count = 0  # sequences between progress measures of the circuits; 0 = none
    threads: Count = 0  # CPU threads; 0 = torch's choice
    kernels: Kernels = "auto"  # auto = fused on a GPU where that serves; plain = torch's operations
    matmul: Matmul = "fp32"  # of training's products, not evaluation's; tf32x3: fused kernels only
    capture: Literal["auto", "off"] = "auto"  # many steps as one CUDA graph, where there is a GPU
    tensorboard: bool = False
    wandb_project: str | None = None


class TrainingSettings(Settings):
    """Everything about one run."""

    name: str = "run"
    source: str = ""  # the paper and figure these settings come from
    data: DataSettings = DataSettings()
    sequences: SequenceSettings = SequenceSettings()
    network: NetworkSettings = NetworkSettings()
    optimisation: OptimisationSettings = OptimisationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    intervention: InterventionSettings = InterventionSettings()
    run: RunSettings = RunSettings()

    @pydantic.field_validator("name")
    @classmethod
    def name_is_a_folders(cls, name: str) -> str:
        """Refuse names that are no folder's, or that lead out of the folder of runs."""
        if not FOLDER_NAME.fullmatch(name):
            raise ValueError(
                "a run's name is a folder's; give it a letter or digit, and neither / nor \\"
            )
        return name

    @pydantic.model_validator(mode="after")
    def what_decays_is_there(self) -> TrainingSettings:
        """Refuse a weight decay of layers that the network does not have."""
        decay = self.optimisation
        if decay.weight_decay and decay.weight_decay_on == "mlp" and not self.network.mlp_ratio:
            raise ValueError(
                "optimisation.weight_decay_on = 'mlp': the network has no MLP; give it one with "
                "network.mlp_ratio, or let another part decay"
            )
        return self
