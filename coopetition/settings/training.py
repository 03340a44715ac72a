"""What a training run is: one small frozen class for each thing that has settings.

Every class is validated when it is made, refuses names it does not know, and can be written to and
read from YAML (`coopetition.settings.yaml_files`). A field made by `setting` also declares what
logs, ensembles, maps and proposals ask of it (`coopetition.settings.schema.Setting`); to add a
setting is to add its field here and what reads it. Nothing here imports torch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic

from ..curves.curve import EVALUATORS, lasting_evaluator
from ..errors import unknown_name
from .schema import (
    Count,
    Doublings,
    InMaps,
    Movable,
    Needs,
    NonNegative,
    Positive,
    Rate,
    Reference,
    Setting,
    Settings,
    Share,
    above_0,
    declared_settings,
    one_of,
    setting,
)

FOLDER_NAME = re.compile(r"(?![=+@-])[^/\\\x00-\x1f]*\w[^/\\\x00-\x1f]*")
Head = Annotated[str, pydantic.Field(pattern=r"^\d+\.\d+$")]  # "layer.head", both from 0
Part = Literal["train", "validation", "test"]
Kernels = Literal["auto", "fused", "plain"]
Matmul = Literal["fp32", "tf32x3", "tf32", "bf16"]
Labels = Literal["true", "swapped", "binary", "random", "query_copied"]

# what is left of mu1 where every exemplar is matched, relative to where none is
UNMATCHED_ERROR = 0.02
POSITIONS = {"ape": "learned", "rope": "rotary"}  # the reference's names of them


def checked_name(name: str) -> str:
    """A run's name, unless it is no folder's, leads out of one, or is a formula in a spreadsheet.

    Names that are read from files (of runs, tasks, proposals and what they lie in) pass it too.
    """
    if not FOLDER_NAME.fullmatch(name):
        raise ValueError(
            f"a run's name is a folder's, not {name[:80]!r}; give it a letter or digit, neither / "
            "nor \\, and no =, +, - or @ in front"
        )
    return name


def first(values: Sequence[Any]) -> Any:
    """The first of several, such as of the classes for training, validation and test."""
    return values[0]


def only(values: Sequence[Any]) -> Any:
    """What all values are; None where they differ."""
    return values[0] if len(set(values)) == 1 else None


def unmatched(share: float) -> float:
    """Logarithm of the share of sequences that are not matched, an error added."""
    return math.log((1.0 - share + UNMATCHED_ERROR) / (1.0 + UNMATCHED_ERROR))


def shared_by_heads(settings: Mapping[str, Any]) -> int:
    """Of what a width is a multiple, so that heads can share it; turned positions go in pairs."""
    turned = settings.get("positions") in ("sinusoidal", "rotary")
    return int(settings.get("heads", 1)) * (2 if turned else 1)


# what settings need in order to have an effect
DRAWN = Needs(
    "data that are drawn or shuffled", lambda s: s.data.kind in ("gaussian", "glyphs", "omniglot")
)
NO_MIXTURE = Needs("a sequence without mixture", lambda s: not s.sequences.mixture)
ADAM = Needs("an Adam", lambda s: s.optimisation.optimizer != "sgd")
SCHEDULED = Needs(
    "optimisation.schedule other than constant", lambda s: s.optimisation.schedule != "constant"
)
DECAY = above_0("optimisation.weight_decay")
FREE_DECAY = Needs(
    f"{DECAY.words}, and adamw's is decoupled",
    lambda s: (
        DECAY.met(s)
        and (s.optimisation.optimizer != "adamw" or s.optimisation.weight_decay_kind == "decoupled")
    ),
)
START = Needs("intervention.start_from", lambda s: s.intervention.start_from is not None)


# the settings: each declares all that is asked of it, in few lines
# fmt: off
class DataSettings(Settings):
    """Which classes and exemplars there are."""

    kind: Literal["gaussian", "glyphs", "omniglot", "embeddings", "onehot"] = "gaussian"
    n_classes: Count = setting(
        12_800, short="n_classes",  # for training; 0 = all of the file's that the splits leave
        reference=Reference("class_split", first), move=Movable(log=True, usual=2),
        maps=InMaps("classes", "classes doubled", Doublings(12_800), reach=0.4, unknown=2.0,
                    effects={"n_d": (0.35, 0.25)}),  # more of them take longer to memorise
    )
    n_exemplars: Count = setting(
        20, short="n_exemplars",  # of each class, for training; 0 = all that the splits leave
        reference=Reference("exemplar_split", first), move=Movable(log=True, usual=3),
        maps=InMaps("exemplars", "exemplars per class doubled", Doublings(20), reach=0.4,
                    # more of them match less well in context and take longer to memorise
                    unknown=1.0, effects={"mu1": (0.15, 0.2), "n_d": (0.25, 0.25)}),
        members="differ",
    )
    validation_classes: Count = 0
    test_classes: Count = 0
    validation_exemplars: Count = 0
    test_exemplars: Count = 0
    n_labels: Count = 0  # 0 = a label for each class; fewer: neighbouring classes share one
    # entries of a Gaussian exemplar
    dim: Positive = setting(64, needs=one_of("data.kind", "gaussian"))
    spread: NonNegative = setting(
        0.5, short="spread",  # within-class standard deviation / between-class
        needs=one_of("data.kind", "gaussian"), members="differ", move=Movable(log=True, usual=4),
        maps=InMaps("spread", "within-class spread doubled", Doublings(0.5), reach=0.4,
                    # exemplars of a class match less well
                    effects={"mu1": (0.5, 0.4), "n_d": (0.2, 0.3)}),
    )
    # edge of a drawn glyph, or of Omniglot after averaging 105 pixels
    image_size: Positive = setting(28, needs=one_of("data.kind", "glyphs", "omniglot"))
    # how much the drawings of one glyph differ; 0 = not at all
    jitter: NonNegative = setting(1.0, members="differ", needs=one_of("data.kind", "glyphs"))
    path: str | None = None  # Omniglot's folder or zip; an HDF5 or .npy file of embeddings
    # the data set inside an HDF5 file
    path_in_file: str = setting("resnet18/224/feat", needs=one_of("data.kind", "embeddings"))
    # which data set is drawn: runs of different seeds may share one
    seed: Count = setting(0, members="differ", needs=DRAWN)

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
    labels: Labels = "true"  # see `coopetition.train.sequences.draws`


class SequenceSettings(Settings):
    """What a training sequence looks like (DataSettings says what is in it)."""

    context_len: Positive = setting(
        2, short="context_len",  # exemplar–label pairs before the query
        reference=Reference("train_context_len", int), members="same",
        maps=InMaps("context", "context length doubled", Doublings(2), reach=0.4, unknown=0.3,
                    effects={"x_a": (-0.3, 0.3)}),  # ICL comes later (Nguyen & Reddy 2024)
    )
    burstiness: Count = setting(
        1, short="burstiness", reference=Reference("pt_burstiness", only), needs=NO_MIXTURE,
        maps=InMaps("burstiness", "copies of the query's class doubled", Doublings(1), reach=0.4,
                    unknown=0.3, effects={"x_a": (0.3, 0.3)}),  # earlier (Zucchet et al. 2025)
    )
    distractor: bool = setting(True, needs=NO_MIXTURE)
    # share of bursty sequences; the others draw every class freely
    bursty_share: Share = setting(1.0, members="differ", needs=NO_MIXTURE)
    no_support: bool = setting(False, needs=NO_MIXTURE)
    unique_rest: bool = setting(False, needs=NO_MIXTURE)
    # "random" = ICL-only data; "query_copied" = CIWL-only data
    labels: Labels = setting("true", needs=NO_MIXTURE)
    mixture: tuple[SequenceKind, ...] = ()  # where given, instead of the six above
    match_probability: Share = setting(
        0.0, short="match_probability",  # of sequences whose copies repeat the query's exemplar
        reference=Reference("match_query_and_distractors", float), members="differ",
        maps=(
            InMaps("matching", "unmatched share of sequences × e", unmatched, reach=0.15,
                   effects={"mu1": (1.0, 0.3)}),  # what is matched exactly leaves no error of ICL
            InMaps("matched_share", "all sequences matched instead of none", float, reach=0.6),
        ),
        move=Movable(lower=0.0, upper=1.0, unit=0.5, usual=1),
    )
    zipf_exponent: NonNegative = setting(
        0.0, short="zipf_exponent",  # class of rank r is drawn with probability ∝ r^−exponent
        reference=Reference("zipf_alpha", float), members="differ",
        maps=InMaps("zipf", "Zipf exponent raised by 1", float, reach=0.7,
                    effects={"n_d": (-0.3, 0.5)}),  # frequent ones come first (Chan et al. 2022)
        move=Movable(lower=0.0, upper=2.0),
    )
    label_noise: Share = setting(
        0.0, short="label_noise",  # how often a class has a random label throughout a sequence
        members="differ", move=Movable(lower=0.0, upper=0.5, unit=0.25),
        maps=InMaps("label_noise", "a tenth of labels random", lambda share: 10 * share, reach=0.4,
                    effects={"mu2": (0.7, 0.5)}),  # cannot be memorised (B. Chan et al. 2024)
    )
    input_noise: NonNegative = setting(
        0.0, short="input_noise",  # standard deviation added to each exemplar shown
        reference=Reference("noise_scale_train", float), members="differ",
        maps=InMaps("input_noise", "noise of one standard deviation", float, reach=0.5,
                    effects={"mu2": (0.5, 0.5), "mu1": (0.3, 0.5)}),
        move=Movable(lower=0.0, upper=1.0, unit=0.5),
    )

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

    depth: Positive = setting(
        2, short="depth", reference=Reference("depth", int),
        maps=(
            # induction takes two layers (Olsson et al. 2022); one has little to gain by trying
            InMaps("one_layer", "1 layer instead of 2", lambda depth: float(depth == 1), reach=1.0,
                   unknown=0.1, effects={"x_a": (-2.0, 1.0), "gain_icl": (-1.5, 1.0)}),
            InMaps("depth", "layers doubled beyond 2", lambda depth: math.log2(max(depth, 2) / 2),
                   reach=0.4, unknown=0.5, effects={"sequences_per_time": (0.3, 0.4)}),
        ),
    )
    width: Positive = setting(
        64, short="width", reference=Reference("d_model", int),
        maps=InMaps("width", "width doubled", Doublings(64), reach=0.4, unknown=0.5,
                    effects={"alpha": (-0.5, 0.5)}),  # capacity
        move=Movable(log=True, multiple=shared_by_heads),
    )
    heads: Positive = setting(8, short="heads", reference=Reference("num_heads", int))
    mlp_ratio: NonNegative = setting(
        0.0, short="mlp_ratio",  # width of an MLP's hidden layer / width; 0 = attention only
        reference=Reference("mlp_ratio", float, null=0.0),
        maps=InMaps("mlp", "MLP of ratio 4", lambda ratio: math.log1p(ratio) / math.log(5),
                    reach=1.0, unknown=0.3,
                    effects={"alpha": (0.0, 1.0), "x_a": (0.5, 1.0)}),  # capacity
        move=Movable(lower=0.0, upper=4.0, unit=4.0),
    )
    positions: Literal["learned", "sinusoidal", "rotary", "none"] = setting(
        "learned", short="positions",
        reference=Reference("pos_embedding_type", lambda kind: POSITIONS.get(kind, kind)),
    )
    # longest wavelength of sinusoidal and rotary positions
    time_scale: Rate = setting(10_000.0, needs=one_of("network.positions", "sinusoidal", "rotary"))
    n_labels: Count = 0  # 0 = as many as the data have
    input: Literal["vector", "onehot", "image"] = "vector"
    input_dim: Count = 0  # entries of an exemplar (pixels of an image); 0 = as the data have
    encoder: Literal["linear", "resnet"] = "linear"
    max_context_len: Count = 0  # longest context positions are learned for; 0 = the longest used
    bias: bool = False  # of the queries, keys, values and the projection
    final_norm: bool = True
    init_scale: Rate = setting(
        1.0, short="init_scale",  # of the weights that are drawn: times what the papers draw
        maps=InMaps("init_scale", "initial weights doubled", Doublings(1), reach=0.4, assumed=True),
        move=Movable(log=True),
    )

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

    batch_size: Positive = setting(
        32, short="batch_size", reference=Reference("train_bs", int), members="same",
        move=Movable(log=True),
    )
    micro_batches: Positive = 1  # parts of a batch whose gradients are averaged
    optimizer: Literal["adam", "adamw", "sgd"] = setting(
        "adam", short="optimizer", reference=Reference("optimizer", str)
    )
    lr: Rate = setting(
        1e-5, short="lr", reference=Reference("lr", float), members="differ", move=Movable(log=True)
    )
    betas: tuple[Share, Share] = setting((0.9, 0.999), needs=ADAM)
    eps: Rate = setting(1e-8, needs=ADAM)
    schedule: Literal["constant", "warmup_decay", "cosine"] = "constant"
    warmup_steps: Count = setting(4_000, members="differ", needs=SCHEDULED)
    decay_steps: Positive = setting(1_000_000, members="differ", needs=SCHEDULED)
    # where a schedule starts from and ends
    lr_floor: NonNegative = setting(1e-5, members="differ", needs=SCHEDULED)
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    weight_decay: NonNegative = setting(
        0.0, short="weight_decay", reference=Reference("weight_decay", float), members="differ",
        move=Movable(lower=0.0, upper=1.0, unit=0.5),
    )
    weight_decay_kind: Literal["decoupled", "squared", "norm"] = setting(
        "squared", short="weight_decay_kind", needs=FREE_DECAY
    )
    weight_decay_on: Literal["all", "attention", "mlp", "encoder", "embeddings"] = setting(
        "all", short="weight_decay_on", needs=DECAY
    )
    clip_norm: Rate | None = None  # largest global norm of the gradient
    reinitialise_embeddings_every: Count = 0  # steps; 0 = never
    # last step at which they are; 0 = to the end
    reinitialise_embeddings_until: Count = setting(
        0, needs=above_0("optimisation.reinitialise_embeddings_every")
    )

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
    at: tuple[Count, ...] = setting((), within_run=True)  # further training-sequence counts
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
    # "optimizer" = its state as well
    start_with: Literal["weights", "optimizer"] = setting("weights", needs=START)
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

    seed: Count = setting(0, short="seed", members="differ")  # of streams init, data, evaluation
    # training sequences in all
    sequences: Positive = setting(1_000_000, members="same", changeable=True)
    # sequences between checkpoints; 0 = only the last
    checkpoint_every: Count = setting(100_000, members="same", changeable=True)
    # further ones, kept for good
    checkpoint_at: tuple[Count, ...] = setting(
        (), members="same", changeable=True, within_run=True
    )
    keep_checkpoints: Positive = setting(2, changeable=True)  # newest of the regular ones
    # batches sampled at once; a GPU samples 16 times as many
    block: Positive = setting(64, members="same")
    per_sequence: bool = True  # keep each evaluation sequence's values, not only their means
    # sequences between progress measures of the circuits; 0 = none
    measures_every: Count = setting(0, members="same")
    threads: Count = setting(0, changeable=True)  # CPU threads; 0 = torch's choice
    # plain: torch's operations, as auto takes on a GPU; fused: Triton kernels there, experimental
    kernels: Kernels = setting("auto", members="same", changeable=True)
    # of training's products, not evaluation's; tf32x3: fused kernels only
    matmul: Matmul = setting("fp32", members="same")
    # many steps as one CUDA graph, where there is a GPU
    capture: Literal["auto", "off"] = setting("auto", members="same", changeable=True)
    tensorboard: bool = setting(False, changeable=True)
    wandb_project: str | None = setting(None, changeable=True)


class TrainingSettings(Settings):
    """Everything about one run."""

    name: str = "run"
    source: str = ""  # the paper and figure these settings come from
    data: DataSettings = DataSettings()
    sequences: SequenceSettings = SequenceSettings()
    network: NetworkSettings = setting(NetworkSettings(), members="same")
    optimisation: OptimisationSettings = OptimisationSettings()
    evaluation: EvaluationSettings = setting(EvaluationSettings(), members="same")
    intervention: InterventionSettings = setting(InterventionSettings(), members="same")
    run: RunSettings = RunSettings()

    @pydantic.field_validator("name")
    @classmethod
    def name_is_a_folders(cls, name: str) -> str:
        """Refuse names that are no folder's, or that lead out of the folder of runs."""
        return checked_name(name)

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


SETTINGS: tuple[Setting, ...] = tuple(declared_settings(TrainingSettings))
BY_SHORT_NAME: Mapping[str, Setting] = {one.short: one for one in SETTINGS if one.short}
