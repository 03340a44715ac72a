"""Settings as a map reads them: numbers within their ranges, and names that are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.forecasting.settings_map import default_map
from coopetition.logs.shipped_runs import published_settings, small_runs, small_settings
from coopetition.settings.covariates import covariates, data_kind, unusable
from coopetition.settings.names import READ, not_read, settings_of_ours, settings_of_reference
from coopetition.settings.presets import preset
from coopetition.settings.yaml_files import as_plain

BASE = {
    "depth": 2, "width": 64, "mlp_ratio": 0.0, "positions": "learned", "n_classes": 12800,
    "n_exemplars": 20, "context_len": 2, "burstiness": 1, "lr": 1e-5, "batch_size": 32,
    "weight_decay": 0.0, "match_probability": 0.0, "data": "bursty", "start": "scratch",
}  # fmt: skip


class Recorder(dict):
    """Settings that remember which of them were asked for."""

    def __init__(self, settings):
        super().__init__(settings)
        self.asked = set()

    def get(self, name, default=None):
        self.asked.add(name)
        return super().get(name, default)


NUMBERS = (
    "n_classes", "n_exemplars", "depth", "width", "mlp_ratio", "lr", "batch_size", "spread",
    "context_len", "burstiness", "match_probability", "zipf_exponent", "label_noise",
    "input_noise", "weight_decay", "match_error", "probe_error",
)  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NUMBERS)
@given(
    value=st.floats(max_value=-1e-9)
    | st.sampled_from([np.nan, np.inf, "1", "1e-3", "auto", [1.0], (1, 1), {"value": 1}, b"1"])
)
def test_impossible_settings_are_named(name, value):
    with pytest.raises(ValueError, match=f"setting {name} = "):
        covariates({**BASE, name: value})


@pytest.mark.parametrize("settings", [{"n_classes": 0}, {"match_probability": 1.5}])
def test_settings_outside_their_range_are_named(settings):
    with pytest.raises(ValueError, match=f"setting {next(iter(settings))} = .*: must "):
        covariates(settings)


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_numpy_are_numbers(name):
    for kind in (np.float64, np.float32, np.int64):
        assert covariates({**BASE, name: kind(1)}) == covariates({**BASE, name: 1})


def test_every_setting_that_is_read_is_known_as_such():
    settings = Recorder({**BASE, "optimizer": "adam"})
    covariates(settings)
    data_kind(settings)
    unusable(settings)
    assert settings.asked - {"original"} <= set(READ)
    assert set(NUMBERS) <= settings.asked


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("match_prob", "match_probability"),
        ("match_probabilty", "match_probability"),
        ("MatchProbability", "match_probability"),
        ("n_class", "n_classes"),
        ("weightDecay", "weight_decay"),
        ("position", "positions"),
        ("sequences.match_probability", "match_probability"),
        ("optimisation.lr", "lr"),
    ],
)
def test_a_name_that_looks_like_a_setting_is_told_of(name, meant):
    (note,) = not_read({**BASE, name: 1.0})
    assert repr(name) in note
    assert meant in note
    assert any(note in said for said in default_map().predict({**BASE, name: 1.0}).notes)


def test_a_settings_file_given_as_it_is_is_told_of():
    notes = not_read(as_plain(preset("cpu-persistent")))
    assert any("'sequences.match_probability'" in note for note in notes)


@pytest.mark.parametrize(
    "settings",
    [
        *(published_settings(name) for name in ("main", "mq")),
        small_settings(small_runs()[0]),
        settings_of_ours(as_plain(preset("cpu-transient"))),
        settings_of_reference({"train_bs": 32, "pt_burstiness": [1, 2], "num_heads": 8}),
        dict.fromkeys(
            (
                "learning_rate", "epochs", "steps", "eval_batch_size", "batch_size_test", "batch",
                "dataset", "model", "num_layers", "n_layers", "hidden_size", "dropout", "warmup",
                "lr_scheduler", "lr_min", "betas", "eps", "grad_clip", "device", "dtype", "name",
                "project", "tags", "seed", "data_seed", "eval_every", "log_interval", "n_labels",
                "label_smoothing", "weight_std", "input_dim", "max_context", "optim", "wd",
            ),
            1,
        ),
    ],
)  # fmt: skip
def test_what_else_a_log_says_goes_without_a_word(settings):
    assert not_read(settings) == ()


def test_a_log_of_two_burstinesses_does_not_say_which():
    settings = settings_of_reference({"pt_burstiness": [1, 2]})
    assert covariates(settings)["burstiness"] is None
    assert settings["original"]["pt_burstiness"] == [1, 2]
    assert any("burstiness" in note for note in default_map().predict(settings).notes)
