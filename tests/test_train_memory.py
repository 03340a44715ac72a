"""Memory of an ensemble on a GPU: estimates against the tensors themselves, and what is said."""

import pytest
import torch
from recorded_graphs import Tapes
from short_runs import go, small

from coopetition.errors import TrainingError
from coopetition.train.compute.gpu.capture import STRETCH
from coopetition.train.compute.gpu.memory import (
    PASS,
    MemoryNeed,
    memory_explained,
    require_memory,
    row_bytes,
    rows_at_once,
)
from coopetition.train.compute.triton.fused_step import interpreted
from coopetition.train.ensemble import Ensemble
from coopetition.train.evaluation.evaluators import FIELDS
from coopetition.train.sequences.batches import block_length

CPU = torch.device("cpu")
NEED = MemoryNeed(shared=100, member=15)


def ensemble_of(count, **sections):
    sections.setdefault("run", {})["kernels"] = "plain"
    return Ensemble([small(f"run{i}", i, **sections) for i in range(count)], CPU)


SHAPES = {
    "many labels": {"data": {"n_classes": 900}},
    "deep": {"network": {"depth": 6, "width": 32}, "sequences": {"context_len": 8}},
    "mlp": {"network": {"depth": 4, "width": 32, "mlp_ratio": 4.0}},
    "micro-batches": {"data": {"n_classes": 900}, "optimisation": {"micro_batches": 4}},
    "sgd": {"optimisation": {"optimizer": "sgd"}},
    "images": {
        "data": {"kind": "glyphs", "image_size": 16},
        "network": {"input": "image", "encoder": "resnet"},
    },
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("members", [1, 3])
def test_what_lasts_is_what_the_tensors_hold(shape, members):
    ensemble = ensemble_of(members, **SHAPES[shape])
    ensemble.capture(STRETCH, pytest.fail, Tapes())
    ensemble.advance(STRETCH)
    optimiser, drawn = ensemble.step.optimiser, ensemble.stream.drawn
    buffers = [optimiser.parameters.flat, optimiser.gradients.flat]
    buffers += [moment.flat for moment in optimiser.moments]
    block = [drawn.classes, drawn.exemplars, drawn.labels, drawn.target]
    longer = block_length(ensemble.members[0], ensemble.network.input_dim, "cuda")
    longer /= ensemble.stream.block
    assert longer > 1
    places = ensemble.captured.places()
    stored = [
        getattr(evaluator.sequences, field)
        for of_member in ensemble.evaluators
        for evaluator in of_member
        for field in FIELDS
    ]
    held = [*buffers, places.examples, places.labels, places.target, *stored]
    actual = sum(t.nbytes for t in held) + longer * sum(t.nbytes for t in block)
    need = ensemble.memory_need()
    assert members * need.member == actual
    assert need.shared == ensemble.exemplars[0].rows.nbytes


def test_fused_kernels_leave_no_gradients_behind():
    ensemble = ensemble_of(1, network={"width": 16})
    assert "gradients" not in vars(ensemble.step.optimiser)
    ensemble.advance(1)
    assert "gradients" in vars(ensemble.step.optimiser)
    if interpreted():
        (settings,) = ensemble.members
        fused = Ensemble([settings.replace(run=settings.run.replace(kernels="fused"))], CPU)
        fused.advance(1)
        assert "gradients" not in vars(fused.step.optimiser)


def test_own_data_sets_count_for_each_member():
    shared = ensemble_of(2).memory_need()
    own = Ensemble([small("a"), small("b", data={"spread": 1.0})], CPU).memory_need()
    rows = 12 * 3 * 4 * 4
    assert own.member - shared.member == shared.shared - own.shared == rows


def test_the_largest_ensemble_is_the_last_that_fits():
    assert [NEED.largest(n) for n in (0, 114, 115, 129, 130, 1_600)] == [0, 0, 1, 1, 2, 100]
    for available in range(100, 400):
        fits = NEED.largest(available)
        assert fits == 0 or NEED.total(fits) <= available < NEED.total(fits + 1)


def test_evaluations_are_cut_so_that_a_gpu_can_hold_them():
    ensemble = ensemble_of(1)
    settings = ensemble.members[0].replace(evaluation={"batch_size": 10**6})
    row = row_bytes(ensemble.network)
    assert rows_at_once(settings, ensemble.network, 8, "cpu") == 10**6
    assert rows_at_once(settings, ensemble.network, 8, "cuda") == PASS // (8 * row)
    assert rows_at_once(settings, ensemble.network, 10**9, "cuda") == 1


def test_running_out_says_what_would_fit(tmp_path, monkeypatch):
    def exhausted(self, steps=1):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(Ensemble, "advance", exhausted)
    with pytest.raises(TrainingError, match=r"2 runs trained as one need .* GB.* at most 1 as"):
        go([small("a"), small("b", 1)], tmp_path / "two")
    with pytest.raises(TrainingError, match=r"1 run needs .* GB.* lower optimisation.batch_size"):
        go(small("a"), tmp_path / "one")


def test_other_errors_pass_unchanged():
    with pytest.raises(RuntimeError, match="something else"), memory_explained(NEED, 2, CPU):
        raise RuntimeError("something else")


def test_an_ensemble_too_large_is_refused_before_it_begins(monkeypatch):
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (150, 200))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 10)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    require_memory(NEED, 4, device)
    with pytest.raises(TrainingError, match=r"train at most 4 as one \(--ensemble 4"):
        require_memory(NEED, 5, device)
    require_memory(NEED, 5, CPU)
