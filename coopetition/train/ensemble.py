"""An ensemble: runs of equal shapes that train as one; a single run is an ensemble of one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from ..errors import CheckpointError
from ..seeds import stream_seed
from ..settings.schema import value_at
from ..settings.training import SETTINGS, DataSettings, NetworkSettings, TrainingSettings
from .compute.devices import on_device
from .compute.gpu.capture import STRETCH, CapturedSteps, CudaGraphs, Recorder, why_not_captured
from .compute.gpu.memory import (
    MemoryNeed,
    memory_explained,
    memory_need,
    require_memory,
    rows_at_once,
)
from .compute.precision import products
from .compute.self_check import CheckedPath, check_paths
from .compute.step import TrainingStep
from .data import Dataset, make_dataset
from .evaluation.evaluators import Evaluator, Values, batches, evaluate, make_evaluators
from .evaluation.measures import CircuitMeasures, measure_circuits
from .folder.checkpoints import STEP, read_weights, start_state, with_prefix
from .network.interventions import from_settings
from .network.network import build_network
from .sequences.batch import Exemplars
from .sequences.batches import BatchStream

STREAM = "stream/"
MEASURED = 256  # evaluation sequences on which circuits are measured


def check_members(members: Sequence[TrainingSettings]) -> None:
    """Refuse runs that cannot train as one ensemble."""
    if not members:
        raise ValueError("no settings are given; give at least one run's")
    names = [member.name for member in members]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two runs of an ensemble are named {name!r}; give each its own name")
    for setting in SETTINGS:
        values = [value_at(member, setting.path) for member in members]
        if setting.members == "same" and any(value != values[0] for value in values):
            raise ValueError(
                f"{setting.path} differs between the runs of an ensemble: train them separately"
            )


def network_settings(settings: TrainingSettings, dataset: Dataset) -> NetworkSettings:
    """The network's settings with the numbers that follow from the data filled in."""
    network = settings.network
    lengths = [evaluator.context_len for evaluator in settings.evaluation.extra]
    longest = max([settings.sequences.context_len, *lengths])
    kind = "onehot" if dataset.one_hot_dim else "image" if dataset.image_size else "vector"
    numbers = {
        "input_dim": (dataset.input_dim, f"the data have {dataset.input_dim} entries"),
        "n_labels": (dataset.n_labels, f"the data have {dataset.n_labels} labels"),
        "max_context_len": (longest, f"sequences have up to {longest} pairs"),
    }
    for name, (needed, reason) in numbers.items():
        value = getattr(network, name)
        if value and (value < needed or (name == "input_dim" and value != needed)):
            raise ValueError(f"network.{name} = {value}: {reason}; leave it 0")
    return network.replace(
        n_labels=network.n_labels or dataset.n_labels,
        input_dim=dataset.input_dim,
        input=kind,
        max_context_len=network.max_context_len or longest,
    )


class Ensemble:
    """Networks, data, evaluators and state of runs that train as one; their shapes agree."""

    def __init__(self, members: Sequence[TrainingSettings], device: torch.device) -> None:
        check_members(members)
        self.members, self.device = tuple(members), device
        datasets = {data: make_dataset(data) for data in dict.fromkeys(m.data for m in members)}
        networks = [network_settings(settings, datasets[settings.data]) for settings in members]
        if any(network != networks[0] for network in networks):
            raise ValueError(
                "data differ in shape between the runs of an ensemble: train them separately"
            )
        self.network = networks[0]
        self.data_bytes = [dataset.exemplars.nbytes for dataset in datasets.values()]
        need = self.memory_need()
        require_memory(need, len(members), device)
        with memory_explained(need, len(members), device):
            self.put_on_device(datasets)

    def put_on_device(self, datasets: Mapping[DataSettings, Dataset]) -> None:
        """Make everything that steps and evaluations need."""
        members, device = self.members, self.device
        by_data = {data: Exemplars(dataset, device) for data, dataset in datasets.items()}
        self.exemplars = [by_data[settings.data] for settings in members]
        seeds = [settings.run.seed for settings in members]
        generators = [torch.Generator().manual_seed(stream_seed(seed, "init")) for seed in seeds]
        intervention = members[0].intervention
        graft = read_weights(intervention.graft_from) if intervention.graft_from else None
        self.step = TrainingStep(
            build_network(self.network, generators),
            [settings.optimisation for settings in members],
            device=device,
            interventions=from_settings(intervention, graft),
            seeds=seeds,
            kernels=members[0].run.kernels,
            matmul=members[0].run.matmul,
        )
        if intervention.start_from:
            start = start_state(
                self.step.state_tensors(),
                intervention.start_from,
                optimizer=intervention.start_with == "optimizer",
            )
            self.step.load_state_tensors(start)
        self.stream = BatchStream(members, self.exemplars, device)
        self.evaluators: list[list[Evaluator]] = [
            make_evaluators(settings, data, device)
            for settings, data in zip(members, self.exemplars, strict=True)
        ]
        # sum and number of batch losses since the last evaluation
        self.loss_sum = torch.zeros(len(members), dtype=torch.float64, device=device)
        self.losses = 0
        self.captured: CapturedSteps | None = None
        self.path: CheckedPath | None = None
        if device.type != "cpu":
            self.check_paths()

    def memory_need(self) -> MemoryNeed:
        """The memory these runs take on a GPU."""
        return memory_need(self.members, self.network, data_bytes=self.data_bytes, stretch=STRETCH)

    def check_paths(self, recorder: Recorder | None = None) -> None:
        """Choose the fastest way to compute steps that agrees with plain PyTorch.

        ``recorder`` stands in for the device's CUDA graphs.
        """
        if recorder is None and not self.why_not_captured():
            recorder = CudaGraphs(self.device)
        with on_device(self.device), products(self.members[0].run.matmul, self.device):
            self.path = check_paths(self.step, self.stream, recorder)

    def why_not_captured(self) -> str:
        """Why steps are not captured in CUDA graphs; empty where they are."""
        if self.captured is not None and self.captured.problem:
            return self.captured.problem
        reason = why_not_captured(self.members[0], self.device)
        if not reason and self.path is not None and not self.path.captured:
            return self.path.problems[-1]
        return reason

    def capture(
        self, length: int, report: Callable[[str], None], recorder: Recorder | None = None
    ) -> None:
        """Take stretches of ``length`` steps as one CUDA graph from now on, where possible.

        ``recorder`` stands in for the device's CUDA graphs; ``report`` receives failures to record.
        """
        if recorder is None and not self.why_not_captured():
            recorder = CudaGraphs(self.device)
        if recorder is not None and (self.path is None or self.path.captured):
            self.captured = CapturedSteps(
                self.step, self.stream, self.loss_sum,
                length=length, recorder=recorder, report=report,
            )  # fmt: skip

    def advance(self, steps: int = 1) -> None:
        """Take steps; the hot loop, without waiting for the device."""
        with on_device(self.device), products(self.members[0].run.matmul, self.device):
            if self.captured is not None:
                self.captured.advance(steps)
            else:
                for _ in range(steps):
                    self.loss_sum += self.step(next(self.stream))
        self.losses += steps

    def computed_by(self) -> dict[str, str]:
        """What computes the steps, and why not something faster, for ``run.json``."""
        why_not = self.why_not_captured()
        return {
            "kernels": self.step.choice.kernels,
            "updated_labels": self.step.updated_labels,
            "why_not_faster": self.step.choice.reason,
            "matmul": self.step.matmul,
            "capture": f"none ({why_not})" if why_not else "CUDA graphs",
            "check": "none" if self.path is None else self.path.summary(),
        }

    def summary(self) -> str:
        """What computes the steps, in a sentence."""
        runs = "1 run" if len(self.members) == 1 else f"{len(self.members)} runs as one"
        kernels, capture = self.step.choice.summary(), self.computed_by()["capture"]
        return f"{runs} on {self.device}: {kernels}, capture: {capture}"

    def take_loss(self) -> list[float | None]:
        """Mean loss of each member over the batches since the last call; None if there was none."""
        sums = self.loss_sum.tolist()
        means = [total / self.losses if self.losses else None for total in sums]
        self.loss_sum.zero_()
        self.losses = 0
        return means

    def evaluate(self) -> list[Values]:
        """Every member's values on its own evaluation sequences, computed in float32."""
        self.step.settle()
        rows = rows_at_once(self.members[0], self.network, len(self.members), self.device.type)
        with on_device(self.device), products("fp32", self.device):
            return evaluate(self.step.network, self.evaluators, self.exemplars, batch_size=rows)

    def measure_circuits(self) -> CircuitMeasures:
        """Circuit measures of every member, on its ``train`` or else its first evaluator."""
        self.step.settle()
        evaluators = [
            next((evaluator for evaluator in own if evaluator.name == "train"), own[0])
            for own in self.evaluators
        ]
        batch = next(batches(evaluators, self.exemplars, MEASURED))
        return measure_circuits(self.step.network, batch)

    def state(self) -> dict[str, Tensor]:
        """All tensors that a bitwise continuation needs."""
        return {
            **{STEP + name: tensor for name, tensor in self.step.state_tensors().items()},
            **{STREAM + name: tensor for name, tensor in self.stream.state().items()},
            "loss_sum": self.loss_sum,
            "losses": torch.tensor(self.losses),
        }

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Continue from a `state` of these runs; CheckpointError if it is of others."""
        try:
            self.loss_sum.copy_(state["loss_sum"])
            self.losses = int(state["losses"])
        except (KeyError, RuntimeError) as error:
            raise CheckpointError(f"the checkpoint is not of this ensemble: {error}") from error
        self.step.load_state_tensors(with_prefix(state, STEP))
        self.stream.load_state(with_prefix(state, STREAM))
