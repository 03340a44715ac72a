"""Settings by short names, as logs and maps have them, in the sections of the trainer's."""

import pytest

from coopetition.logs import read_curves
from coopetition.settings.names import from_short_names, with_short_names
from coopetition.settings.training import TrainingSettings


def test_short_names_reach_their_sections():
    changed = with_short_names(TrainingSettings(), {"n_classes": 1600.0, "lr": 3e-4})
    assert (changed.data.n_classes, changed.optimisation.lr) == (1600, 3e-4)
    with pytest.raises(ValueError, match="n_clases"):
        with_short_names(TrainingSettings(), {"n_clases": 3})


def test_settings_of_published_runs_can_be_trained_on_gaussian_classes():
    (mq,) = read_curves("published:mq")
    settings = from_short_names(mq.settings)
    assert settings.sequences.match_probability == 1
    assert settings.data.kind == "gaussian"
    assert settings.optimisation.lr == mq.settings["lr"]
