"""Errors measured on data before training, against what is known of Gaussian classes."""

import numpy as np
import pytest
from tolerances import DATA_ERROR, SOFTER

from coopetition.settings.training import DataSettings, SequenceSettings, TrainingSettings
from coopetition.train.evaluation.match_errors import data_errors, match_error

DIM = 64


def task(*, spread, match=0.0, n_exemplars=400, n_classes=100, **more):
    return TrainingSettings(
        data=DataSettings(
            n_classes=n_classes, n_exemplars=n_exemplars, spread=spread, dim=DIM, **more
        ),
        sequences=SequenceSettings(match_probability=match),
    )


def test_matched_exemplars_leave_no_match_error():
    assert data_errors(task(spread=0.8, match=1.0)).match < 1e-9


@pytest.mark.parametrize("spread", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("match", [0.0, 0.5])
def test_match_error_of_gaussian_classes(spread, match):
    # the sharpest match is of the query's class and explains 1 where matched, 1/(1 + s²) where not;
    # the best one may be a little softer
    explained = match + (1 - match) / (1 + spread**2)
    errors = data_errors(task(spread=spread, match=match), n_sequences=4_000).match
    assert 1 - explained**2 - SOFTER < errors < 1 - explained**2 + DATA_ERROR


def test_few_exemplars_match_by_chance():
    # of n exemplars drawn independently, one in n is the query's own
    n, spread = 4, 0.8
    explained = 1 / n + (1 - 1 / n) / (1 + spread**2)
    errors = data_errors(task(spread=spread, n_exemplars=n, n_classes=2_000), n_sequences=4_000)
    assert errors.match == pytest.approx(1 - explained**2, abs=DATA_ERROR)


def test_unlimited_spread_leaves_chance():
    errors = data_errors(task(spread=1e4))
    assert errors.match > 1 - DATA_ERROR


@pytest.mark.parametrize(("spread", "n"), [(0.6, 20), (1.0, 20), (1e3, 50), (0.6, 1)])
def test_probe_error_of_gaussian_classes(spread, n):
    # mean of the score 1/2, its variance that of the query across the difference of the means
    variance = spread**2 * (1 - 1 / n) / (2 * DIM * (1 + spread**2 / n))
    expected = variance / (variance + 0.25)
    errors = data_errors(task(spread=spread, n_exemplars=n, n_classes=1_000), n_sequences=4_000)
    assert errors.probe == pytest.approx(expected, abs=DATA_ERROR)


def test_match_error_is_of_the_best_sharpness():
    rng = np.random.default_rng(3)
    q, a, b = rng.standard_normal((3, 5_000, 10))
    near = q + 0.1 * a
    flat = np.stack([near, near], axis=1)  # whatever β, the guess is the same
    explained = np.sum(q * near) ** 2 / np.sum(near**2) / np.sum(q**2)
    assert match_error(q, flat) == pytest.approx(1 - explained)
    assert match_error(q, np.stack([near, b], axis=1)) < 0.05


def test_more_matching_more_explained():
    errors = [data_errors(task(spread=0.7, match=m, n_exemplars=20)).match for m in (0, 0.5, 1)]
    assert errors == sorted(errors, reverse=True)


def test_measuring_says_what_it_needs():
    with pytest.raises(ValueError, match="at least 10"):
        data_errors(task(spread=1.0), n_sequences=3)
    alone = TrainingSettings(
        data=DataSettings(n_classes=50), sequences=SequenceSettings(context_len=1, distractor=False)
    )
    with pytest.raises(ValueError, match="two classes"):
        data_errors(alone)


def test_names_are_those_of_the_map():
    from coopetition.settings.covariates import covariates

    errors = data_errors(task(spread=0.6, n_exemplars=20)).as_settings()
    values = covariates(errors)
    assert values["match_error"] is not None
    assert values["probe_error"] is not None
