"""CUDA graphs without CUDA: operations recorded below autograd, and repeated without the host."""

from __future__ import annotations

import contextlib

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

WAITS = {
    "_local_scalar_dense", "item", "is_nonzero", "nonzero", "nonzero_numpy", "unique_dim",
    "_unique", "_unique2", "unique_consecutive", "masked_select", "equal", "bincount",
    "repeat_interleave", "allclose", "_assert_async",
}  # fmt: skip


class WaitsForDevice(Exception):
    """An operation for which a host would wait, or that a graph cannot hold."""


def tensors_of(values):
    return [leaf for leaf in tree_flatten(values)[0] if isinstance(leaf, torch.Tensor)]


class NoWaiting(TorchDispatchMode):
    """Raises where an operation's result must be known to the host, or moves between devices."""

    def __init__(self):
        super().__init__()
        self.operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        inputs = tensors_of((args, kwargs))
        if name in WAITS:
            raise WaitsForDevice(name)
        if name in ("index", "index_put", "index_put_") and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        ):
            raise WaitsForDevice(f"{name} by a mask")
        # fused optimizers write in place and have no rule for tensors without values
        without_rule = name.startswith("_fused_") and inputs[0].device.type == "meta"
        result = None if without_rule else func(*args, **kwargs)
        devices = {tensor.device.type for tensor in [*inputs, *tensors_of(result)]}
        if len(devices) > 1:
            raise WaitsForDevice(f"{name} between {' and '.join(sorted(devices))}")
        self.operations += 1
        return result


class Tape(NoWaiting):
    """Keeps every operation with the very tensors it read and wrote."""

    def __init__(self):
        super().__init__()
        self.steps = []
        self.made = set()
        self.before = {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        for place, argument in enumerate(func._schema.arguments):
            if argument.alias_info is not None and argument.alias_info.is_write:
                given = args[place] if place < len(args) else (kwargs or {}).get(argument.name)
                self.keep(tensors_of(given))
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self.steps.append((func, args, kwargs or {}, result))
        given = {t.untyped_storage().data_ptr() for t in tensors_of((args, kwargs))}
        made = {t.untyped_storage().data_ptr() for t in tensors_of(result)}
        self.made |= made - given  # a view of something older is nothing new
        return result

    def keep(self, written):
        """What tensors hold that exist beside the tape, before the tape first writes to them."""
        for tensor in written:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in self.made and storage.data_ptr() not in self.before:
                self.before[storage.data_ptr()] = (storage, storage.clone())

    def undo(self):
        """Leave everything as if nothing had been computed, as capturing does."""
        for storage, kept in self.before.values():
            storage.copy_(kept)

    def replay(self):
        """Compute again from what the tensors now hold; no other Python runs."""
        for func, args, kwargs, recorded in self.steps:
            fresh = func(*args, **kwargs)
            for old, new in zip(tensors_of(recorded), tensors_of(fresh), strict=True):
                if old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class Tapes:
    """A recorder of steps (`coopetition.train.compute.gpu.capture.Recorder`) for CPUs."""

    def __init__(self):
        self.tapes, self.paced = [], 0

    @contextlib.contextmanager
    def aside(self):
        yield

    def record(self, work):
        tape = Tape()
        with tape:
            work()
        tape.undo()
        self.tapes.append(tape)
        return torch.no_grad()(tape.replay)

    def keep_pace(self):
        self.paced += 1


class Repeated:
    """Calls a stretch's work again at each replay: for kernels that no tape sees."""

    def aside(self):
        return contextlib.nullcontext()

    def record(self, work):
        return work

    def keep_pace(self):
        pass
