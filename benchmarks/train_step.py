"""Time of one training step, beside what a user would write instead, in one run.

    python benchmarks/train_step.py [--threads 2] [--jax-python ENV/bin/python]

Our step, a nanoGPT-style PyTorch loop with `torch.optim.Adam`, the same under `torch.compile`
(--compile) and a plain jitted JAX/Equinox step (--jax-python) train the papers' two-layer network
on the same batch with the same number of threads. Steps of ours and of PyTorch's alternate, so that
a busy machine slows both; times are medians, and the fastest tenth for machines that are not quiet.
The floor is the arithmetic at the rate of a large matrix product plus Adam's memory traffic at the
rate of a sum in place, both measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from plain_torch import PlainNetwork, plain_step

from coopetition.settings.training import NetworkSettings, OptimisationSettings
from coopetition.train.compute.step import TrainingStep
from coopetition.train.network.network import build_network
from coopetition.train.sequences.batch import Batch

CONTEXT, DIM, WIDTH, HEADS, DEPTH = 2, 64, 64, 8, 2


class Spent(NamedTuple):
    """Milliseconds of a step: the median, and the quantile a tenth from the fastest."""

    median: float
    fast: float


def milliseconds(functions: dict[str, Callable[[], object]], rounds: int) -> dict[str, Spent]:
    """Time of each function; a round calls every one ten times, the first round warms up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds):
        for name, function in functions.items():
            for _ in range(10):
                start = time.perf_counter()
                function()
                if turn:
                    times[name].append(time.perf_counter() - start)
    return {
        name: Spent(1e3 * statistics.median(values), 1e3 * statistics.quantiles(values, n=10)[0])
        for name, values in times.items()
    }


def arithmetic(classes: int, batch: int) -> float:
    """Floating-point operations of the matrix products of one step, forward and backward."""
    tokens, shown = batch * (2 * CONTEXT + 1), batch * (CONTEXT + 1)
    full = (DEPTH - 1) * tokens * WIDTH * 4 * WIDTH  # queries, keys, values and projection
    last = tokens * WIDTH * 2 * WIDTH + batch * WIDTH * 2 * WIDTH
    forward = full + last + batch * WIDTH * classes
    return 2.0 * (3 * forward + 2 * shown * DIM * WIDTH)  # nothing flows back to the exemplars


def rates(bytes_moved: int) -> tuple[float, float]:
    """Operations/s of a large matrix product, bytes/s of a sum in place of about `bytes_moved`."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    source = torch.zeros(bytes_moved // 12)
    out, total = torch.empty_like(a), torch.zeros_like(source)
    spent = milliseconds(
        {"product": lambda: torch.mm(a, b, out=out), "sum": lambda: total.add_(source)}, rounds=8
    )
    product, added = spent["product"].fast, spent["sum"].fast
    return 2 * 1024**3 / product * 1e3, 12 * source.numel() / added * 1e3


def jax_milliseconds(
    python: str, classes: Sequence[int], batch: int, threads: int, steps: int
) -> dict[str, Spent]:
    """Time of the plain JAX step for each number of classes."""
    settings = {
        "batch": batch, "context": CONTEXT, "dim": DIM, "width": WIDTH, "heads": HEADS,
        "depth": DEPTH, "classes": list(classes), "threads": threads, "warm_up": 10, "steps": steps,
    }  # fmt: skip
    script = Path(__file__).with_name("plain_jax.py")
    finished = subprocess.run(
        [python, str(script), json.dumps(settings)], check=True, capture_output=True, text=True
    )
    return {name: Spent(*times) for name, times in json.loads(finished.stdout).items()}


def compare(classes: int, batch: int, rounds: int, compiled: bool) -> dict[str, Spent]:
    """Time of every step and of our step's two halves."""
    generator = torch.Generator().manual_seed(0)
    examples = torch.randn(batch, CONTEXT + 1, DIM, generator=generator)
    labels = torch.randint(classes, (batch, CONTEXT), generator=generator)
    target = labels[:, 0].clone()
    plain = plain_step(PlainNetwork(classes=classes, dim=DIM), 1e-4)
    every = plain_step(PlainNetwork(classes=classes, dim=DIM), 1e-4, every_token=True)
    settings = NetworkSettings(n_labels=classes, input_dim=DIM, width=WIDTH, heads=HEADS)
    step = TrainingStep(build_network(settings, [generator]), OptimisationSettings(lr=1e-4))
    ours = Batch(examples=examples[None], labels=labels[None], target=target[None])
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: step(ours),
        "plain PyTorch": lambda: plain(examples, labels, target),
        "plain PyTorch, logits of every token": lambda: every(examples, labels, target),
        "  ours: loss and gradients": lambda: step.compute_gradients(ours),
        "  ours: Adam": step.optimiser.update,
    }
    if compiled:
        fast = plain_step(torch.compile(PlainNetwork(classes=classes, dim=DIM)), 1e-4)
        functions["torch.compile of plain PyTorch"] = lambda: fast(examples, labels, target)
    return milliseconds(functions, rounds)


def report(classes: int, batch: int, threads: int, spent: dict[str, Spent]) -> None:
    """Print one table."""
    parameters = 2 * classes * WIDTH
    traffic = 28 * parameters  # Adam reads p, g, m, v and writes p, m, v, four bytes each
    operations = arithmetic(classes, batch)
    product, moved = rates(traffic)
    floor = 1e3 * (operations / product + traffic / moved)
    print(f"\n{classes:,} classes, batch {batch}, {threads} threads")
    print(f"  {'':38s}  median ms    × ours   fastest tenth    × ours")
    for name, time_of in spent.items():
        ratios = [value / own for value, own in zip(time_of, spent["ours"], strict=True)]
        print(
            f"  {name:38s} {time_of.median:10.3f} {ratios[0]:9.2f} "
            f"{time_of.fast:15.3f} {ratios[1]:9.2f}"
        )
    print(f"  sequences/s: {1e3 * batch / spent['ours'].median:,.0f}")
    print(
        f"  floor {floor:.3f} ms: {operations / 1e6:.0f} MFLOP at {product / 1e9:.0f} GFLOP/s "
        f"and {traffic / 1e6:.0f} MB of Adam over the embeddings at {moved / 1e9:.0f} GB/s; "
        f"the fastest tenth of ours is {spent['ours'].fast / floor:.1f} × the floor"
    )


def main() -> None:
    """Parse, time, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--classes", type=int, nargs="+", default=[1600, 12800])
    parser.add_argument("--compile", action="store_true", help="time torch.compile as well")
    parser.add_argument("--jax-python", help="interpreter with jax, equinox and optax")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    jax = (
        jax_milliseconds(
            options.jax_python, options.classes, options.batch, options.threads, 10 * options.rounds
        )
        if options.jax_python
        else {}
    )
    for classes in options.classes:
        spent = compare(classes, options.batch, options.rounds, options.compile)
        if jax:
            spent["plain jitted JAX/Equinox"] = jax[str(classes)]
        report(classes, options.batch, options.threads, spent)


if __name__ == "__main__":
    main()
