"""One training step: loss, gradients, update. The trainer's hot loop, which mutates its state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import CheckpointError
from ...seeds import stream_seed
from ...settings.training import Kernels, Matmul, OptimisationSettings
from ..network.interventions import Intervention, attach, put_in_grafts
from ..network.network import Network, build_network
from ..optimisation.losses import losses
from ..optimisation.optimiser import Optimiser
from ..sequences.batch import Batch
from .devices import on_device
from .kernel_choice import KernelChoice, choose_kernels
from .precision import autocast, check_precision

if TYPE_CHECKING:  # compiled for CPUs: loaded where it computes
    from .cpu.gradients import HandWrittenGradients

SWEEP_EVERY = 64  # steps; a moment without gradients shrinks by no more than 0.9^64 = 1e-3 in these


class TrainingStep:
    """Trains a network of M members batch by batch, in place.

    The network is moved to ``device``, its weights become views of one buffer. Settings are for all
    members, or one for each (they may differ in numbers such as ``lr``); ``seeds`` are needed only
    where embeddings are re-initialised. ``choice`` says what computes the step (`kernel_choice`).

    A call never waits for the device. Rows of the label embedding may wait for their updates: call
    `settle` before reading weights or moments (`state_tensors` does).
    """

    def __init__(
        self,
        network: Network,
        optimisation: OptimisationSettings | Sequence[OptimisationSettings],
        *,
        device: torch.device | str = "cpu",
        interventions: Sequence[Intervention] = (),
        seeds: Sequence[int] = (),
        kernels: Kernels = "auto",
        matmul: Matmul = "fp32",
    ) -> None:
        members = network.members
        check_precision(matmul, torch.device(device))
        settings = (
            (optimisation,) * members
            if isinstance(optimisation, OptimisationSettings)
            else tuple(optimisation)
        )
        if len(settings) != members:
            raise ValueError(
                f"optimisation has {len(settings)} settings for {members} members: give one for "
                "all, or one for each"
            )
        self.network = network.to(device)
        self.settings = settings[0]
        self.seeds = tuple(seeds)
        if self.settings.reinitialise_embeddings_every and len(self.seeds) != members:
            raise ValueError(
                f"seeds = {self.seeds}: re-initialising embeddings needs one for each of "
                f"{members} members"
            )
        self.done = 0  # steps, counted here too so that no step waits for the device's count
        self.interventions = tuple(interventions)
        frozen = attach(self.network, interventions)
        self.optimiser = Optimiser(self.network, settings, frozen)
        self.matmul: Matmul = matmul
        self.choice, self.fused = choose_kernels(kernels, self.network, self.optimiser, matmul)
        self.hand_written: dict[tuple[int, int], list[HandWrittenGradients]] = {}
        self.last_shape: tuple[int, int] | None = None

    def __call__(self, batch: Batch) -> Tensor:
        """Take one step; each member's mean loss before it, without weight decay, ``(M,)``."""
        if resets_embeddings(self.settings, self.done):
            self.reinitialise_embeddings()
        loss = self.compute(batch)
        self.count(1)
        return loss

    def compute(self, batch: Batch) -> Tensor:
        """The device's part of a step; a CUDA graph holds it without what `__call__` adds."""
        if self.fused is not None:
            return self.fused(batch)
        loss = self.compute_gradients(batch)
        self.optimiser.clip()
        self.optimiser.update()
        return loss

    def compute_plain(self, batch: Batch) -> Tensor:
        """As `compute`, always by PyTorch's own operations."""
        loss = self.differentiate(batch)
        self.optimiser.clip()
        self.optimiser.update()
        if self.fused is not None:
            self.fused.restart()
        return loss

    def use_plain(self, reason: str) -> None:
        """Compute steps by PyTorch's own operations from now on, ``reason`` says why; settled."""
        self.choice, self.fused = KernelChoice(kernels="plain", reason=reason), None
        if self.matmul == "tf32x3":
            self.matmul = "fp32"  # from which it differs in the last bits

    def settle(self) -> None:
        """Bring waiting weights and moments up to date, between graphs; changes no later bit."""
        if self.fused is not None:
            with on_device(self.optimiser.steps.device):
                self.fused.settle()

    @property
    def updated_labels(self) -> str:
        """Which rows of the label embedding a step updates; if all, why."""
        return "all" if self.fused is None else self.fused.updated_labels

    def count(self, steps: int) -> None:
        """The host's part of so many steps that were computed."""
        before, self.done = self.done, self.done + steps
        if self.done // SWEEP_EVERY > before // SWEEP_EVERY:
            self.optimiser.sweep()

    def without_host(self, most: int) -> int:
        """How many of the next steps, up to ``most``, are the device's alone."""
        for ahead in range(most if self.settings.reinitialise_embeddings_every else 0):
            if resets_embeddings(self.settings, self.done + ahead):
                return ahead
        return most

    def compute_gradients(self, batch: Batch) -> Tensor:
        """Fill the gradient buffer by hand-written code or PyTorch; each member's loss."""
        if self.choice.kernels != "written":
            return self.differentiate(batch)
        shape = (batch.target.shape[1], batch.labels.shape[2])
        if shape not in self.hand_written:
            self.hand_written[shape] = self.make_gradients(*shape)
        clear = shape != self.last_shape or not self.optimiser.leaves_gradients
        self.last_shape = shape
        members = self.hand_written[shape]
        with torch.no_grad():
            if len(members) == 1:
                return members[0].compute(batch, clear)
            # one by one: memory stays in cache, bits are those of the member alone
            parts = (batch.examples, batch.labels, batch.target)
            shares = zip(members, *(part.chunk(len(members)) for part in parts), strict=True)
            member_losses = [
                member.compute(Batch(examples=examples, labels=labels, target=target), clear)
                for member, examples, labels, target in shares
            ]
            return torch.cat(member_losses)

    def make_gradients(self, batch: int, context: int) -> list[HandWrittenGradients]:
        """Hand-written gradients of each member for batches of a shape."""
        from .cpu.gradients import HandWrittenGradients

        parameters, gradients = self.optimiser.parameters, self.optimiser.gradients
        return [
            HandWrittenGradients(
                self.network, parameters.of_member(i), gradients.of_member(i), batch, context
            )
            for i in range(self.network.members)
        ]

    def differentiate(self, batch: Batch) -> Tensor:
        """Fill the gradient buffer by automatic differentiation."""
        self.last_shape = None
        self.optimiser.gradients.flat.zero_()
        parts = self.settings.micro_batches
        total = torch.zeros(self.network.members, device=self.optimiser.steps.device)
        fields = (batch.examples, batch.labels, batch.target)
        for examples, labels, target in zip(*(f.chunk(parts, 1) for f in fields), strict=True):
            with autocast(self.matmul, examples.device):
                logits = self.network(examples, labels, target)
            loss = losses(self.settings.loss, logits.float(), target)
            (loss.sum() / parts).backward()  # type: ignore[no-untyped-call]
            total += loss.detach() / parts
        return total

    @torch.no_grad()
    def reinitialise_embeddings(self) -> None:
        """Draw the embeddings of exemplars and labels anew and forget their moments."""
        # rows that wait need not be settled: without moments the steps they missed move nothing
        stream = f"embeddings/{self.done}"
        generators = [
            torch.Generator().manual_seed(stream_seed(seed, stream)) for seed in self.seeds
        ]
        fresh = dict(build_network(self.network.settings, generators).named_parameters())
        for name in self.optimiser.trained:
            if name.startswith(("exemplar.", "label.")):
                self.optimiser.parameters.views[name].copy_(fresh[name])
                for moment in self.optimiser.moments:
                    moment.views[name].zero_()

    def state_tensors(self) -> dict[str, Tensor]:
        """Weights, moments and the number of steps, under flat names, to be stored; settled."""
        self.settle()
        return self.present_tensors()

    def present_tensors(self) -> dict[str, Tensor]:
        """As `state_tensors`, with rows that wait as they are."""
        optimiser = self.optimiser
        buffers = {"parameters": optimiser.parameters}
        buffers.update({f"moment_{i + 1}": moment for i, moment in enumerate(optimiser.moments)})
        state = {
            f"{kind}/{name}": view for kind, buffer in buffers.items()
            for name, view in buffer.views.items()
        }  # fmt: skip
        return {**state, "steps": optimiser.steps}

    def load_state_tensors(
        self, state: Mapping[str, Tensor], *, weights_only: bool = False
    ) -> None:
        """Continue from what `state_tensors` gave (from its weights only, with fresh moments)."""
        own = self.present_tensors()
        if weights_only:
            own = {name: tensor for name, tensor in own.items() if name.startswith("parameters/")}
            state = {name: tensor for name, tensor in state.items() if name in own}
        if sorted(own) != sorted(state):
            differing = ", ".join(sorted(set(own) ^ set(state)))
            raise CheckpointError(
                f"state is of another network or optimizer: differs in {differing}"
            )
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise CheckpointError(
                    f"{name} has shape {tuple(state[name].shape)}, not {tuple(tensor.shape)}"
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])
        put_in_grafts(self.network, self.interventions)
        if self.fused is not None:
            self.fused.restart()
        self.done = int(self.optimiser.steps)


def resets_embeddings(settings: OptimisationSettings, done: int) -> bool:
    """Whether embeddings are drawn anew after `done` steps."""
    every, until = settings.reinitialise_embeddings_every, settings.reinitialise_embeddings_until
    return bool(every and done and done % every == 0 and (not until or done <= until))
