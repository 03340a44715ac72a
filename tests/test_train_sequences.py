"""Sequences and batches: what is drawn, how often, and from which stream."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from tolerances import IMPROBABLE

from coopetition.settings.training import DataSettings, SequenceKind, TrainingSettings
from coopetition.train.data import make_dataset
from coopetition.train.sequences.batch import Exemplars
from coopetition.train.sequences.batches import BatchStream, sequence_draws
from coopetition.train.sequences.draws import class_draws

N = 40_000
CPU = torch.device("cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def draws(kind=None, *, context_len=2, data=None, **more):
    data = data or DataSettings(n_classes=12, n_exemplars=4, dim=2)
    dataset = make_dataset(data)
    kinds = kind if isinstance(kind, tuple) else (kind or SequenceKind(),)
    return sequence_draws(dataset, data, kinds, context_len=context_len, **more)


def agrees(observed, expected):
    """Whether counts agree with expected ones by a chi-square test."""
    expected = np.asarray(expected, float) * np.sum(observed) / np.sum(expected)
    return stats.chisquare(np.asarray(observed), expected).pvalue > IMPROBABLE


def counts(tensor, n):
    return torch.bincount(tensor.flatten(), minlength=n).numpy()


def test_classes_are_drawn_equally_often():
    drawn = class_draws(np.arange(30)).draw(N, (), generator())
    assert agrees(counts(drawn, 30), np.ones(30))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_zipfian_classes_are_drawn_by_their_rank(exponent):
    drawn = class_draws(np.arange(20), zipf_exponent=exponent).draw(N, (), generator())
    assert agrees(counts(drawn, 20), np.arange(1.0, 21.0) ** -exponent)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_excluding_classes_leaves_the_others_proportions(exponent):
    every = class_draws(np.arange(8), zipf_exponent=exponent)
    excluded = [torch.full((N,), 2), torch.full((N,), 0), torch.full((N,), 7)]
    counted = counts(every.draw(N, excluded, generator()), 8)
    weights = np.arange(1.0, 9.0) ** -exponent
    assert not counted[[0, 2, 7]].any()
    assert agrees(counted[[1, 3, 4, 5, 6]], weights[[1, 3, 4, 5, 6]])


@given(
    n_labels=st.integers(3, 9),
    per_label=st.integers(1, 4),
    exponent=st.sampled_from([0.0, 0.7, 1.5]),
    seed=st.integers(0, 1000),
)
def test_an_excluded_label_never_comes_up(n_labels, per_label, exponent, seed):
    labels = np.repeat(np.arange(n_labels), per_label)
    every = class_draws(labels, zipf_exponent=exponent)
    rng = generator(seed)
    first = every.draw(200, (), rng)
    second = every.draw(200, (first,), rng)
    third = every.draw(200, (second, first), rng)
    of = torch.as_tensor(labels)
    assert (of[first] != of[second]).all()
    assert ((of[third] != of[first]) & (of[third] != of[second])).all()


def test_bursty_sequences_hold_copies_of_two_classes_in_random_order():
    drawn = draws(SequenceKind(burstiness=3), context_len=6).draw(N, generator())
    query = drawn.classes[:, -1:]
    copies = drawn.classes[:, :-1] == query
    assert (copies.sum(1) == 3).all()
    others = drawn.classes[:, :-1][~copies].view(N, 3)
    assert (others == others[:, :1]).all()
    assert agrees(copies.sum(0).numpy(), np.ones(6))
    patterns = (copies.long() * 2 ** torch.arange(6)).sum(1)
    counted = counts(patterns, 64)
    assert agrees(counted[counted > 0], np.ones(20))  # 6 choose 3 orders


def test_query_and_distractor_are_equally_often_any_pair():
    drawn = draws().draw(N, generator())
    query = drawn.classes[:, -1]
    distractor = drawn.classes[:, :2].sum(1) - query
    pairs = counts(query * 12 + distractor, 144).reshape(12, 12)
    assert not np.diag(pairs).any()
    off = ~np.eye(12, dtype=bool)
    assert agrees(pairs[off], np.ones(132))


def test_without_a_distractor_the_rest_is_anything():
    drawn = draws(SequenceKind(distractor=False), context_len=2).draw(N, generator())
    copies = (drawn.classes[:, :-1] == drawn.classes[:, -1:]).sum(1)
    # a second copy by chance in 1 of 12
    assert agrees(counts(copies - 1, 2), [11, 1])


def test_no_support_and_unique_rest_do_what_they_say():
    kind = SequenceKind(burstiness=0, no_support=True, unique_rest=True)
    drawn = draws(kind, context_len=8).draw(2_000, generator())
    for row in drawn.classes:
        assert len(set(row.tolist())) == 9
    kind = SequenceKind(burstiness=0, no_support=True)
    drawn = draws(kind, context_len=8).draw(2_000, generator())
    assert not (drawn.classes[:, :-1] == drawn.classes[:, -1:]).any()
    repeats = [len(set(row.tolist())) < 8 for row in drawn.classes[:, :-1]]
    assert any(repeats)


def test_exemplars_are_drawn_equally_often_and_independently():
    drawn = draws().draw(N, generator())
    joint = drawn.exemplars[:, 0] * 16 + drawn.exemplars[:, 1] * 4 + drawn.exemplars[:, 2]
    assert agrees(counts(joint, 64), np.ones(64))


@pytest.mark.parametrize("probability", [0.0, 0.4, 1.0])
def test_matched_sequences_repeat_the_querys_exemplar(probability):
    drawn = draws(SequenceKind(burstiness=2), context_len=4, match_probability=probability).draw(
        N, generator()
    )
    of_query = drawn.classes[:, :-1] == drawn.classes[:, -1:]
    same = drawn.exemplars[:, :-1] == drawn.exemplars[:, -1:]
    query_same = (same | ~of_query).all(1)
    others = drawn.exemplars[:, :-1][~of_query].view(N, 2)
    distractor_same = others[:, 0] == others[:, 1]
    chance = 1 / 4  # of 4 exemplars
    expected = probability + (1 - probability) * chance**2
    assert agrees(counts(query_same.long(), 2) + 1e-9, [1 - expected + 1e-12, expected])
    expected = probability + (1 - probability) * chance
    assert agrees(counts(distractor_same.long(), 2) + 1e-9, [1 - expected + 1e-12, expected])


def test_kinds_are_mixed_by_their_shares():
    kinds = (
        SequenceKind(share=3),
        SequenceKind(share=1, burstiness=0, no_support=True),
        SequenceKind(share=2, labels="binary"),
    )
    drawn = draws(kinds).draw(N, generator())
    supported = (drawn.classes[:, :-1] == drawn.classes[:, -1:]).any(1)
    assert agrees(counts((~supported).long(), 2), [5, 1])


def test_icl_only_labels_are_any_two_and_agree_with_the_target():
    drawn = draws(SequenceKind(labels="random")).draw(N, generator())
    of_query = drawn.classes[:, :-1] == drawn.classes[:, -1:]
    assert (drawn.labels[of_query] == drawn.target).all()
    other = drawn.labels[~of_query]
    pairs = counts(drawn.target * 12 + other, 144).reshape(12, 12)
    assert not np.diag(pairs).any()
    assert agrees(pairs[~np.eye(12, dtype=bool)], np.ones(132))
    # and say nothing about the class
    assert agrees(counts(drawn.classes[:, -1] * 12 + drawn.target, 144), np.ones(144))


def test_ciwl_only_sequences_have_the_label_at_a_random_place():
    kind = SequenceKind(burstiness=0, no_support=True, unique_rest=True, labels="query_copied")
    drawn = draws(kind, context_len=4).draw(N, generator())
    assert (drawn.target == drawn.classes[:, -1]).all()
    placed = drawn.labels == drawn.target[:, None]
    assert (placed.sum(1) == 1).all()
    assert agrees(placed.sum(0).numpy(), np.ones(4))
    assert (drawn.labels[~placed] == drawn.classes[:, :-1][~placed]).all()


def test_label_noise_changes_a_class_throughout_its_sequence():
    drawn = draws(SequenceKind(burstiness=2), context_len=4, label_noise=0.3).draw(N, generator())
    of_query = drawn.classes[:, :-1] == drawn.classes[:, -1:]
    shown = drawn.labels[of_query].view(N, 2)
    assert (shown == drawn.target[:, None]).all()
    wrong = drawn.target != drawn.classes[:, -1]
    expected = 0.3 * 11 / 12  # a random label is right in 1 of 12
    assert agrees(counts(wrong.long(), 2), [1 - expected, expected])


def test_fewer_labels_than_classes_are_shared_by_neighbours_and_kept_apart():
    data = DataSettings(n_classes=12, n_exemplars=1, dim=2, n_labels=4)
    drawn = draws(data=data).draw(N, generator())
    assert (drawn.target == drawn.classes[:, -1] // 3).all()
    assert (drawn.labels[:, 0] != drawn.labels[:, 1]).all()
    assert agrees(counts(drawn.target, 4), np.ones(4))


def test_more_distinct_labels_than_there_are_are_refused():
    data = DataSettings(n_classes=12, n_exemplars=1, dim=2, n_labels=4)
    kind = SequenceKind(burstiness=0, unique_rest=True)
    with pytest.raises(ValueError, match="a sequence needs 5 different labels"):
        draws(kind, context_len=4, data=data)


def training(seed=0, **sections):
    return TrainingSettings(
        **{
            "data": {"n_classes": 12, "n_exemplars": 3, "dim": 4},
            "optimisation": {"batch_size": 5},
            "run": {"seed": seed, "block": 4},
            **sections,
        }
    )


def stream_of(*members):
    shown = {m.data: Exemplars(make_dataset(m.data), CPU) for m in members}
    return BatchStream(members, [shown[m.data] for m in members], CPU)


def same(one, other):
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("examples", "labels", "target")
    )


def test_batches_have_the_promised_shapes_and_kinds():
    batch = next(stream_of(training(0), training(1)))
    assert batch.examples.shape == (2, 5, 3, 4)
    assert batch.examples.dtype == torch.float32
    assert batch.labels.shape == (2, 5, 2)
    assert batch.target.shape == (2, 5)
    assert batch.labels.dtype == batch.target.dtype == torch.int64


def test_batches_do_not_repeat_across_blocks():
    stream = stream_of(training())
    batches = [next(stream) for _ in range(9)]
    assert not any(same(batches[i], batches[j]) for i in range(9) for j in range(i))


def test_a_member_draws_the_same_whoever_else_is_there():
    alone, together = stream_of(training(1)), stream_of(training(0), training(1), training(2))
    for _ in range(6):
        assert torch.equal(next(alone).examples[0], next(together).examples[1])


@pytest.mark.parametrize("taken", [0, 1, 4, 7])
def test_a_stream_continues_from_its_state_with_the_very_next_batch(taken):
    settings = training(3, sequences={"input_noise": 0.5, "match_probability": 0.5})
    stream = stream_of(settings)
    for _ in range(taken):
        next(stream)
    state = stream.state()
    expected = [next(stream) for _ in range(6)]
    again = stream_of(settings)
    again.load_state(state)
    assert all(same(next(again), batch) for batch in expected)


def test_exemplars_shown_are_those_of_the_data():
    settings = training()
    dataset = make_dataset(settings.data)
    shown = Exemplars(dataset, CPU).show(torch.tensor([[2, 11]]), torch.tensor([[1, 0]]))
    assert np.array_equal(shown[0].numpy(), dataset.exemplars[[2, 11], [1, 0]])


def test_one_hot_and_image_exemplars_are_floats_between_0_and_1():
    one_hot = DataSettings(kind="onehot", n_classes=5, n_exemplars=1)
    shown = Exemplars(make_dataset(one_hot), CPU).show(torch.tensor([3]), torch.tensor([0]))
    assert shown.tolist() == [[0, 0, 0, 1, 0]]
    images = DataSettings(kind="glyphs", n_classes=3, n_exemplars=2, image_size=12)
    shown = Exemplars(make_dataset(images), CPU).show(torch.tensor([2]), torch.tensor([1]))
    assert shown.dtype == torch.float32
    assert 0 < shown.max() <= 1


def test_input_noise_has_its_standard_deviation():
    data = {"n_classes": 4, "n_exemplars": 1, "dim": 50}
    optimisation = {"batch_size": 100}
    clean = next(stream_of(training(data=data, optimisation=optimisation)))
    noisy = next(
        stream_of(training(data=data, optimisation=optimisation, sequences={"input_noise": 0.2}))
    )
    difference = (noisy.examples - clean.examples).flatten()
    # standard error of a standard deviation from n values: s / √(2n)
    assert difference.std().item() == pytest.approx(0.2, abs=5 * 0.2 / (2 * len(difference)) ** 0.5)
