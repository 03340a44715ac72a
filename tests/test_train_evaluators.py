"""Evaluators tell the strategies apart; metrics are what their formulas say."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerances import FLOAT32, STANDARD_ERRORS

from coopetition.settings.training import EvaluatorSettings, SequenceKind, TrainingSettings
from coopetition.train.data import make_dataset
from coopetition.train.evaluation.evaluators import evaluate, make_evaluators, restored, stored
from coopetition.train.evaluation.metrics import METRICS, metrics
from coopetition.train.sequences.batch import Exemplars

CPU = torch.device("cpu")
N = 2_000
N_CLASSES = 40


def settings(context_len=2, burstiness=1, **evaluation):
    return TrainingSettings(
        # no spread: an exemplar is its class's centre, so that an oracle can know the class
        data={
            "n_classes": N_CLASSES,
            "n_exemplars": 2,
            "dim": 8,
            "spread": 0,
            "validation_classes": 10,
        },
        sequences={"context_len": context_len, "burstiness": burstiness},
        evaluation={"n_sequences": N, **evaluation},
    )


def run(network, chosen, batch_size=300):
    exemplars = Exemplars(make_dataset(chosen.data), CPU)
    evaluators = make_evaluators(chosen, exemplars, CPU)
    (values,) = evaluate(network, [evaluators], [exemplars], batch_size=batch_size)
    return values


class Oracle:
    """Answers by one strategy alone, and at random among the labels in context where it is mute."""

    def __init__(self, strategy, chosen):
        self.strategy = strategy
        self.centres = torch.from_numpy(make_dataset(chosen.data).exemplars[:N_CLASSES, 0].copy())
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, examples, labels, target):
        query = examples[:, :, -1]
        shape = (*labels.shape[:2], N_CLASSES)
        logits = torch.zeros(shape).scatter(
            -1, labels, torch.rand(labels.shape, generator=self.generator)
        )
        remembered = torch.cdist(query, self.centres[None]).argmin(-1, keepdim=True)
        if self.strategy == "icl":
            looks_alike = (examples[:, :, :-1] == query[:, :, None]).all(-1)
            return logits.scatter_add(-1, labels, 9.0 * looks_alike)
        if self.strategy == "ciwl":
            present = (labels == remembered).any(-1, keepdim=True)
            return logits.scatter_add(-1, remembered, 9.0 * present)
        return logits.scatter_add(-1, remembered, torch.full(remembered.shape, 9.0))


CHANCE = object()
ANSWERS = {
    # evaluator: in-context accuracy of a perfect ICL, CIWL and IWL answerer (iwl: accuracy)
    "train": {"icl": 1, "ciwl": 1, "iwl": 1},
    "icl": {"icl": 1, "ciwl": CHANCE, "iwl": CHANCE},
    "ciwl": {"icl": CHANCE, "ciwl": 1, "iwl": 1},
    "flip": {"icl": 1, "ciwl": 0, "iwl": 0},
    "iwl": {"icl": 0, "ciwl": 0, "iwl": 1},
}


@pytest.mark.parametrize("strategy", ["icl", "ciwl", "iwl"])
@pytest.mark.parametrize(("context_len", "burstiness"), [(2, 1), (8, 3)])
def test_perfect_answerers_score_1_0_or_chance(strategy, context_len, burstiness):
    chosen = settings(context_len, burstiness)
    values = run(Oracle(strategy, chosen), chosen)
    for evaluator, expected in ANSWERS.items():
        metric = "acc" if evaluator == "iwl" else "in_context_acc"
        score = values[evaluator][metric].mean()
        if expected[strategy] is not CHANCE:
            assert score == expected[strategy], evaluator
            continue
        # labels in context: two in icl, context_len distinct ones in ciwl
        chance = 0.5 if evaluator == "icl" else 1 / context_len
        error = math.sqrt(chance * (1 - chance) / N)
        assert abs(score - chance) < STANDARD_ERRORS * error, evaluator


def test_flip_needs_the_swapped_labels_not_the_distractors_class():
    chosen = settings()
    exemplars = Exemplars(make_dataset(chosen.data), CPU)
    flip = next(e for e in make_evaluators(chosen, exemplars, CPU) if e.name == "flip").sequences
    query, distractor = flip.classes[:, -1], flip.classes[:, :2].sum(1) - flip.classes[:, -1]
    assert (flip.target == distractor).all()
    of_query = flip.classes[:, :2] == query[:, None]
    assert (flip.labels[of_query] == distractor).all()
    assert (flip.labels[~of_query] == query).all()


@given(
    n=st.integers(1, 5),
    n_labels=st.integers(3, 9),
    context_len=st.integers(1, 4),
    seed=st.integers(0, 10_000),
)
def test_metrics_are_their_formulas(n, n_labels, context_len, seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(1, n, n_labels)).round(1)  # rounded, so that ties occur
    labels = rng.integers(n_labels, size=(1, n, context_len))
    target = rng.integers(n_labels, size=(1, n))
    values = metrics(
        torch.tensor(logits, dtype=torch.float64), torch.tensor(labels), torch.tensor(target)
    )
    assert tuple(values) == METRICS
    for i in range(n):
        z, y, inside = logits[0, i], target[0, i], np.isin(np.arange(n_labels), labels[0, i])
        p = np.exp(z) / np.exp(z).sum()
        expected = {
            "loss": -np.log(p[y]),
            "acc": z.argmax() == y,
            "in_context_acc": np.where(inside, z, -np.inf).argmax() == y,
            "out_context_acc": not inside[y] and np.where(inside, -np.inf, z).argmax() == y,
            "prob": p[y],
            "in_context_prob": p[y] / p[inside].sum() if inside[y] else 0,
            "out_context_prob": 0 if inside[y] else p[y] / p[~inside].sum(),
            "use_context_prob": p[inside].sum(),
        }
        for metric, value in expected.items():
            assert values[metric][0, i].item() == pytest.approx(float(value), abs=FLOAT32), metric


def test_metrics_where_every_label_is_in_context():
    values = metrics(torch.zeros(1, 1, 2), torch.tensor([[[1, 0]]]), torch.tensor([[1]]))
    assert values["use_context_prob"].item() == 1
    assert values["prob"].item() == pytest.approx(0.5)
    assert values["out_context_acc"].item() == 0


def test_sequences_are_fixed_by_the_seed_and_unlike_the_training_ones():
    chosen = settings()
    exemplars = Exemplars(make_dataset(chosen.data), CPU)
    one, other = (stored(make_evaluators(chosen, exemplars, CPU)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    reseeded = stored(make_evaluators(chosen.replace(run={"seed": 1}), exemplars, CPU))
    assert not torch.equal(one["train.classes"], reseeded["train.classes"])


def test_stored_sequences_come_back():
    chosen = settings()
    exemplars = Exemplars(make_dataset(chosen.data), CPU)
    tensors = stored(make_evaluators(chosen.replace(run={"seed": 5}), exemplars, CPU))
    again = restored(make_evaluators(chosen, exemplars, CPU), tensors, CPU)
    assert all(torch.equal(tensors[name], tensor) for name, tensor in stored(again).items())


def test_batch_size_changes_nothing():
    chosen = settings()
    one = run(Oracle("iwl", chosen), chosen, batch_size=N)
    other = run(Oracle("iwl", chosen), chosen, batch_size=77)
    assert np.array_equal(one["train"]["acc"], other["train"]["acc"])
    assert one["flip"]["loss"].shape == (N,)


def test_an_evaluator_of_ones_own_on_held_out_classes():
    extra = EvaluatorSettings(
        name="new_classes",
        kind=SequenceKind(labels="binary", no_support=True),
        classes="validation",
    )
    chosen = settings(extra=(extra,))
    exemplars = Exemplars(make_dataset(chosen.data), CPU)
    evaluator = make_evaluators(chosen, exemplars, CPU)[-1]
    assert evaluator.name == "new_classes"
    assert evaluator.sequences.classes.min() >= N_CLASSES
    assert set(evaluator.sequences.target.tolist()) == {0, 1}


def test_held_out_classes_must_be_there_and_be_relabelled():
    own = EvaluatorSettings(name="x", classes="validation")
    with pytest.raises(ValueError, match=r"evaluator x: .*no labels of their own"):
        run(None, settings(extra=(own,)))
    missing = own.replace(classes="test", kind=SequenceKind(labels="binary"))
    with pytest.raises(ValueError, match="no test classes"):
        run(None, settings(extra=(missing,)))


def test_input_noise_of_an_evaluator_is_the_same_every_time():
    noisy = EvaluatorSettings(name="noisy", input_noise=1.0)
    chosen = settings(extra=(noisy,), names=())
    seen = []

    def network(examples, labels, target):
        seen.append(examples)
        return torch.zeros(*labels.shape[:2], N_CLASSES)

    run(network, chosen)
    half = len(seen)
    run(network, chosen)
    assert all(torch.equal(a, b) for a, b in zip(seen[:half], seen[half:], strict=True))
