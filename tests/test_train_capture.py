"""Stretches of steps that are recorded and replayed give the numbers of steps taken one by one."""

import contextlib

import pytest
import torch
from recorded_graphs import Tapes
from short_runs import StopAt, everything, go, small

from coopetition.errors import TrainingError
from coopetition.train import ensemble as ensembles
from coopetition.train import loop
from coopetition.train.compute.gpu.capture import AHEAD, CudaGraphs, why_not_captured
from coopetition.train.ensemble import Ensemble

CPU = torch.device("cpu")


def plain(name="plain", seed=0, **sections):
    """A short run that PyTorch's own operations compute, as they would on a GPU."""
    return small(name, seed, **{**sections, "run": {"kernels": "plain", **sections.get("run", {})}})


@pytest.fixture
def taped(monkeypatch):
    """Runs on a CPU record their stretches; the recorders made so far."""
    made = []

    def capture(self, length, report, recorder=None):
        made.append(Tapes())
        original(self, length, report, made[-1])

    original = Ensemble.capture
    monkeypatch.setattr(ensembles.Ensemble, "capture", capture)
    return made


RUNS = {
    "one run": lambda: [plain()],
    "three runs": lambda: [plain("a", 1), plain("b", 2, optimisation={"lr": 3e-3}), plain("c", 3)],
    "a schedule": lambda: [
        plain(optimisation={"schedule": "cosine", "warmup_steps": 9, "decay_steps": 50})
    ],
    "decay, clipping and SGD": lambda: [
        plain(
            optimisation={
                "optimizer": "sgd",
                "weight_decay": 0.1,
                "weight_decay_kind": "norm",
                "clip_norm": 0.5,
            }
        )
    ],
    "micro-batches, MLP, rotary positions": lambda: [
        plain(
            optimisation={"micro_batches": 2},
            network={"mlp_ratio": 2.0, "positions": "rotary"},
        )
    ],
    "embeddings drawn anew": lambda: [plain(optimisation={"reinitialise_embeddings_every": 11})],
    "edited heads": lambda: [
        plain().replace(
            intervention={"matching_label_heads": ("1.0",), "head_temperatures": {"0.1": 2.0}}
        )
    ],
    "noise": lambda: [plain(sequences={"input_noise": 0.2, "label_noise": 0.1})],
}


@pytest.mark.parametrize(
    ("kind", "length"), [*((kind, 4) for kind in RUNS), ("one run", 32), ("three runs", 5)]
)
def test_replayed_stretches_are_bitwise_the_single_steps(
    tmp_path, monkeypatch, request, kind, length
):
    members = RUNS[kind]()
    go(members, tmp_path / "eager")
    monkeypatch.setattr(loop, "STRETCH", length)
    recorders = request.getfixturevalue("taped")
    go(members, tmp_path / "taped")
    names = ["."] if len(members) == 1 else [member.name for member in members]
    for name in names:
        assert everything(tmp_path / "taped" / name) == everything(tmp_path / "eager" / name)
    (recorder,) = recorders
    assert len(recorder.tapes) == {4: 2, 5: 1, 32: 2}[length]  # events are five or ten steps apart


@pytest.mark.parametrize("at", [12, 132])
def test_broken_off_between_stretches_and_continued_it_is_the_unbroken_run(
    tmp_path, monkeypatch, taped, at
):
    members = [plain("a", 1), plain("b", 2, sequences={"match_probability": 0.5})]
    go(members, tmp_path / "unbroken")
    monkeypatch.setattr(loop, "STRETCH", 1)
    with pytest.raises(TrainingError):
        go(members, tmp_path / "run", observers=[StopAt(at)])
    monkeypatch.setattr(loop, "STRETCH", 5)
    go((), tmp_path / "run", resume=True)
    for name in "ab":
        assert everything(tmp_path / "run" / name) == everything(tmp_path / "unbroken" / name)


def test_most_steps_are_replayed_and_counted(taped):
    ensemble = Ensemble([plain()], CPU)
    ensemble.capture(8, pytest.fail)
    for steps in (8, 8, 3, 8, 1):
        ensemble.advance(steps)
    assert ensemble.captured.replayed == 20  # the first eight were taken one by one
    assert ensemble.step.done == ensemble.losses == int(ensemble.step.optimiser.steps) == 28
    assert taped[0].paced == 5


def test_what_is_left_of_a_stretch_takes_shorter_graphs(taped):
    ensemble, other = Ensemble([plain()], CPU), Ensemble([plain()], CPU)
    ensemble.capture(12, pytest.fail)
    for steps in (3, 22, 12):  # one by one; 12, 8, 1 and 1; 12
        ensemble.advance(steps)
        other.advance(steps)
    assert sorted(ensemble.captured.replays) == [1, 8, 12]
    assert ensemble.captured.replayed == 34
    assert torch.equal(ensemble.loss_sum, other.loss_sum)


def test_every_step_finds_its_batch_shaped_and_aligned_as_graphs_do(monkeypatch):
    """So that what is compiled for shapes and alignments is, before anything is recorded."""
    ensemble = Ensemble([plain(data={"dim": 5}, optimisation={"batch_size": 3})], CPU)
    recorder, seen = Tapes(), []
    compute = ensemble.step.compute

    def watched(batch):
        parts = batch.examples, batch.labels, batch.target
        assert all(part.is_contiguous() for part in parts)
        place = [(part.shape, part.data_ptr() % 16) for part in parts]
        seen.append((bool(recorder.tapes), place))
        return compute(batch)

    monkeypatch.setattr(ensemble.step, "compute", watched)
    ensemble.capture(8, pytest.fail, recorder)
    ensemble.advance(16)
    assert [recorded for recorded, _ in seen] == [False] * 16  # no tape is kept while it is made
    assert all(place == seen[0][1] for _, place in seen)


def test_recording_changes_neither_weights_nor_data():
    one, other = Ensemble([plain()], CPU), Ensemble([plain()], CPU)
    other.capture(4, pytest.fail, Tapes())
    one.advance(4)
    other.advance(4)
    other.captured.record(4)
    states = one.state(), other.state()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_failed_recording_is_said_and_the_run_goes_on(tmp_path, monkeypatch):
    class Failing(Tapes):
        def record(self, work):
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    said = []
    one, other = Ensemble([plain()], CPU), Ensemble([plain()], CPU)
    other.capture(4, said.append, Failing())
    for ensemble in (one, other):
        ensemble.advance(12)
    assert torch.equal(one.loss_sum, other.loss_sum)
    assert other.captured.replayed == 0
    assert said == [f"{other.captured.problem}; steps are taken one by one"]
    assert "not permitted" in other.captured.problem
    assert "more" not in said[0]


def test_nothing_is_captured_on_a_cpu_or_where_it_is_not_wanted():
    assert why_not_captured(plain(), CPU) == "the device is cpu"
    cuda = torch.device("cuda")
    assert why_not_captured(plain(), cuda) == ""
    assert why_not_captured(plain(run={"capture": "off"}), cuda) == "run.capture = off"


class FakeCuda:
    """What `CudaGraphs` asks of torch.cuda, written down."""

    def __init__(self, monkeypatch):
        self.log, fake = [], self

        class Stream:
            def __init__(self, device=None, name="side"):
                self.device, self.name = device, name

            def wait_stream(self, other):
                fake.log.append(f"{self.name} waits for {other.name}")

        class Event:
            def record(self, stream):
                fake.log.append(f"event on {stream.name}")

            def synchronize(self):
                fake.log.append("host waits")

        class Graph:
            def pool(self):
                return (0, 7)

            def replay(self):
                fake.log.append("replay")

        @contextlib.contextmanager
        def using(stream):
            fake.log.append(f"on {stream.name}")
            yield
            fake.log.append(f"off {stream.name}")

        @contextlib.contextmanager
        def graph(graph, pool, stream):
            fake.log.append(f"capture on {stream.name}, pool {pool}")
            yield

        main = Stream(name="main")
        for name, value in {
            "Stream": Stream, "Event": Event, "CUDAGraph": Graph, "stream": using, "graph": graph,
            "current_stream": lambda device: main,
        }.items():  # fmt: skip
            monkeypatch.setattr(torch.cuda, name, value)


def test_graphs_are_recorded_and_replayed_on_a_side_stream(monkeypatch):
    log = FakeCuda(monkeypatch).log
    graphs = CudaGraphs(torch.device("cuda"))
    for word in ("first", "second"):
        with graphs.aside():
            replay = graphs.record(lambda word=word: log.append(word))
            replay()
        graphs.keep_pace()
    around = ["side waits for main", "on side"], ["off side", "main waits for side"]
    assert log == [
        *around[0], "capture on side, pool None", "first", "replay", *around[1], "event on side",
        *around[0], "capture on side, pool (0, 7)", "second", "replay", *around[1],
        "event on side",
    ]  # fmt: skip
    log.clear()
    for _ in range(AHEAD):
        graphs.keep_pace()
    assert log.count("host waits") == 2  # for the stretches more than a few before
