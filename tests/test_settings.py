"""Settings: validation, YAML, overrides, presets, short names."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coopetition.logs import read_curves, small_runs
from coopetition.settings.names import (
    from_short_names,
    settings_of_ours,
    unlike,
    with_short_names,
)
from coopetition.settings.presets import preset, preset_names
from coopetition.settings.training import (
    DataSettings,
    EvaluationSettings,
    EvaluatorSettings,
    InterventionSettings,
    NetworkSettings,
    OptimisationSettings,
    SequenceKind,
    SequenceSettings,
    TrainingSettings,
)
from coopetition.settings.unused import without_effect
from coopetition.settings.yaml_files import (
    as_plain,
    from_plain,
    read_settings,
    with_overrides,
    write_settings,
)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: NetworkSettings(widht=3), "unknown network setting 'widht': did you mean 'width'"),
        (lambda: NetworkSettings(width=0), "width = 0"),
        (lambda: NetworkSettings(width=65), "heads = 8: must divide width = 65"),
        (lambda: NetworkSettings(encoder="resnet"), "needs input = 'image'"),
        (lambda: TrainingSettings(network={"width": -1}), "network.width = -1"),
        (lambda: TrainingSettings(network={"width": 65}), "network.heads = 8"),
        (lambda: TrainingSettings(netwrk={}), "did you mean 'network'"),
        (lambda: TrainingSettings(network=3), "network = 3"),
        (lambda: OptimisationSettings(lr=0), "lr = 0"),
        (lambda: OptimisationSettings(lr=float("nan")), "lr = nan"),
        (lambda: OptimisationSettings(micro_batches=3), "must divide batch_size = 32"),
        (lambda: SequenceSettings(burstiness=2), "needs context_len >= 4, not 2"),
        (lambda: SequenceSettings(burstiness=0, labels="swapped"), "labels = 'swapped'"),
        (lambda: SequenceSettings(mixture=(SequenceKind(share=0),)), "no kind with a positive"),
        (lambda: SequenceSettings(match_probability=1.5), "match_probability = 1.5"),
        (lambda: EvaluationSettings(names=("filp",)), "did you mean 'flip'"),
        (lambda: EvaluationSettings(extra=(EvaluatorSettings(name="icl"),)), "given twice"),
        (lambda: EvaluationSettings(extra=({"name": "Flip"},)), "read back as 'flip': rename it"),
        (lambda: EvaluationSettings(extra=({"name": "pure_iwl"},)), "read back as 'iwl'"),
        (lambda: InterventionSettings(ablate_heads=("3",)), "ablate_heads.0 = '3'"),
        (lambda: EvaluationSettings(names=()), "name at least one of train, icl, ciwl, flip, iwl"),
        (lambda: TrainingSettings(name="../../evil"), "name = '../../evil': a run's name is a"),
        (lambda: NetworkSettings(depth=True), "depth = True: write a number"),
        (lambda: SequenceSettings(input_noise=False), "input_noise = False: write a number"),
        (lambda: DataSettings(path="x.npy"), "set kind to embeddings or omniglot"),
        (lambda: DataSettings(kind="glyphs", path="omniglot.zip"), "glyphs classes are made"),
        (lambda: InterventionSettings(graft_above=1), "give graft_from"),
        (
            lambda: TrainingSettings(
                optimisation={"weight_decay": 1, "weight_decay_on": "mlp"},
            ),
            "give it one with network.mlp_ratio",
        ),
    ],
)
def test_a_wrong_setting_is_named_in_one_line_with_the_remedy(make, says):
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    message = str(caught.value)
    assert says in message
    assert "\n" not in message


@given(st.text(max_size=8) | st.lists(st.sampled_from(["..", ".", "a", ""])).map("/".join))
def test_a_run_stays_in_a_folder_of_its_own(tmp_path_factory, name):
    runs = tmp_path_factory.getbasetemp() / "runs"
    try:
        folder = runs / TrainingSettings(name=name).name
    except ValueError:
        return
    assert Path(os.path.normpath(folder)).parent == runs


@pytest.mark.parametrize(
    ("sections", "idle"),
    [
        ({"data": {"kind": "glyphs", "spread": 0.8}}, "data.spread = 0.8"),
        ({"data": {"jitter": 2}}, "data.jitter = 2.0"),
        ({"sequences": {"mixture": [{}], "burstiness": 0}}, "sequences.burstiness = 0"),
        ({"network": {"time_scale": 30}}, "network.time_scale = 30.0"),
        ({"optimisation": {"optimizer": "sgd", "eps": 1e-3}}, "optimisation.eps = 0.001"),
        ({"optimisation": {"lr_floor": 1e-3}}, "optimisation.lr_floor = 0.001"),
        ({"optimisation": {"weight_decay_on": "mlp"}}, "optimisation.weight_decay_on = mlp"),
        ({"optimisation": {"weight_decay_kind": "norm"}}, "optimisation.weight_decay_kind = norm"),
        ({"evaluation": {"at": [96, 97, 128, 129]}, "run": {"sequences": 97}}, "[129]"),
        ({"intervention": {"start_with": "optimizer"}}, "intervention.start_with = optimizer"),
    ],
)
def test_a_setting_that_changes_nothing_is_named_unless_another_run_needs_it(sections, idle):
    run = TrainingSettings(**sections)
    (said,) = without_effect([run])
    assert idle in said
    assert without_effect([run, TrainingSettings()]) == ()
    assert without_effect([run, run]) == (said,)


@pytest.mark.parametrize("name", preset_names())
def test_presets_hold_nothing_without_effect(name):
    assert without_effect([preset(name)]) == ()


def test_settings_cannot_be_changed_in_place():
    with pytest.raises(ValueError, match="frozen"):
        NetworkSettings().width = 3


def test_a_changed_copy_is_validated_and_the_original_stays():
    settings = NetworkSettings()
    assert settings.replace(width=32).width == 32
    assert settings.width == 64
    with pytest.raises(ValueError, match="must divide"):
        settings.replace(width=7)


@given(
    width=st.sampled_from([8, 64, 256]),
    lr=st.floats(1e-8, 1.0),
    sequences=st.integers(1, 10**10),
    match=st.floats(0, 1),
)
def test_settings_written_and_read_are_the_same(tmp_path_factory, width, lr, sequences, match):
    path = tmp_path_factory.mktemp("settings") / "settings.yaml"
    settings = TrainingSettings(
        network={"width": width},
        optimisation={"lr": lr},
        sequences={"match_probability": match},
        run={"sequences": sequences},
    )
    write_settings(settings, path)
    assert read_settings(path) == settings


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_names_its_paper_and_figure_and_survives_a_file(name, tmp_path):
    settings = preset(name)
    assert "arXiv" in settings.source
    assert "figure" in settings.source or "appendix" in settings.source
    write_settings(settings, tmp_path / "settings.yaml")
    assert read_settings(tmp_path / "settings.yaml") == settings
    assert settings.name == name


def test_the_papers_settings_are_the_papers():
    main, deep = preset("paper-2layer"), preset("paper-12layer")
    assert (main.optimisation.lr, main.optimisation.batch_size) == (1e-5, 32)
    assert (main.network.depth, main.network.width, main.network.heads) == (2, 64, 8)
    assert (main.data.n_classes, main.data.n_exemplars) == (12_800, 20)
    assert (deep.network.depth, deep.network.mlp_ratio) == (12, 4.0)
    assert (deep.sequences.context_len, deep.sequences.burstiness) == (8, 3)
    assert deep.network.time_scale == 30
    assert preset("matched-exemplars").sequences.match_probability == 1


def test_an_unknown_preset_gets_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'cpu-never'"):
        preset("cpu-nevr")


def test_overrides_read_numbers_as_people_write_them():
    changed = with_overrides(
        TrainingSettings(),
        ["optimisation.lr=3e-4", "run.sequences=2e5", "evaluation.at=[1, 2e3]", "name=mine"],
    )
    assert changed.optimisation.lr == 3e-4
    assert changed.run.sequences == 200_000
    assert changed.evaluation.at == (1, 2_000)
    assert changed.name == "mine"


def test_overrides_are_validated_together():
    changed = with_overrides(
        TrainingSettings(), ["sequences.burstiness=4", "sequences.context_len=8"]
    )
    assert changed.sequences.burstiness == 4


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("network.widht=3", "did you mean 'network.width'"),
        ("netwrk.width=3", "did you mean 'network'"),
        ("width", "section.name=value"),
        ("network.width=abc", "network.width = 'abc'"),
        ("network.width.x=1", "unknown section"),
        ("network.width=[1", "is no YAML"),
    ],
)
def test_a_wrong_override_says_what_is_wrong(override, says):
    with pytest.raises(ValueError, match=r".") as caught:
        with_overrides(TrainingSettings(), [override])
    assert says in str(caught.value)


def test_a_file_may_start_from_a_preset(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("preset: cpu-never\nnetwork:\n  width: 32\n")
    settings = read_settings(path)
    assert settings.network.width == 32
    assert settings.data == preset("cpu-never").data


def test_wrong_files_are_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        read_settings(tmp_path / "missing.yaml")
    path = tmp_path / "bad.yaml"
    path.write_text("network: [1\n")
    with pytest.raises(ValueError, match=r"bad\.yaml line 2 is no YAML"):
        read_settings(path)
    path.write_text("- 1\n")
    with pytest.raises(ValueError, match="expected sections") as caught:
        read_settings(path)
    assert str(caught.value).count("bad.yaml") == 1
    path.write_bytes(b"name: \xff\n")
    with pytest.raises(ValueError, match=r"bad\.yaml is no text in UTF-8"):
        read_settings(path)


def test_what_is_given_twice_is_refused_wherever_it_stands(tmp_path):
    with pytest.raises(ValueError, match=r"run\.seed is given twice: 1 and 2"):
        with_overrides(TrainingSettings(), ["run.seed=1", "run.sequences=5", "run.seed=2"])
    path = tmp_path / "twice.yaml"
    path.write_text("run: {seed: 1}\nname: a\nrun: {sequences: 96}\n")
    with pytest.raises(ValueError, match=r"twice\.yaml line 3 is no YAML: 'run' is given twice"):
        read_settings(path)
    path.write_text("run: {seed: 1, seed: 1}\n")
    with pytest.raises(ValueError, match="'seed' is given twice"):
        read_settings(path)


def test_anchors_and_merged_keys_are_no_repetition(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text("sequences: {<<: {burstiness: 0}, burstiness: 1}\n")
    assert read_settings(path).sequences.burstiness == 1


def test_an_empty_file_means_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert read_settings(tmp_path / "empty.yaml") == TrainingSettings()


def test_plain_settings_make_the_same_settings():
    settings = preset("paper-12layer")
    assert from_plain(as_plain(settings)) == settings


def test_bursty_share_mixes_in_free_sequences():
    kinds = SequenceSettings(bursty_share=0.75).kinds
    assert [(kind.share, kind.burstiness) for kind in kinds] == [(0.75, 1), (0.25, 0)]
    assert len(SequenceSettings().kinds) == 1


def test_settings_presets_and_data_are_read_without_torch():
    code = (
        "import sys, coopetition.settings.presets, coopetition.settings.yaml_files, "
        "coopetition.train.data; print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_settings_that_are_trained_are_those_of_the_run_or_the_difference_is_told():
    for name in small_runs():
        (log,) = read_curves(f"cpu:{name}")
        assert unlike(log.settings, from_short_names(log.settings)) == {}
    for name in set(preset_names()) - {"ciwl-only"}:  # whose burstiness is compared with none
        own = settings_of_ours(as_plain(preset(name)))
        assert unlike(own, from_short_names(own)) == {}
    (main,) = read_curves("published:main")
    (later,) = read_curves("published:init_from_ciwl_only_4M")
    other_data = {"data_kind": "gaussian, not omniglot"}
    assert unlike(main.settings, from_short_names(main.settings)) == other_data
    assert "head_start" in unlike(later.settings, from_short_names(later.settings))
    slower = TrainingSettings(optimisation={"lr": 1e-6})
    assert "time_scale" in unlike({"lr": 1e-5, "batch_size": 32}, slower)


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
