"""Each launch of the fused step beside the least that its bytes and operations need.

    python benchmarks/gpu_stages.py [--members 1 8 32] [--precisions fp32 tf32x3 tf32 bf16]

Every launch is repeated in a CUDA graph of its own; times are medians by device events. What a
launch leaves in the cache the next of its kind finds there, so that of a single run all launches
are faster than their memory would be, and `step`, all of them in turn, is what counts.
`gpu_step.py` prints the same table for the papers' precision.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from gpu_clock import Clock, captured
from gpu_floor import STEP_BYTES, Rates, measure_rates
from train_step import CONTEXT, DEPTH, DIM, HEADS, WIDTH, arithmetic

from coopetition.settings.training import NetworkSettings, OptimisationSettings
from coopetition.train.compute.triton.fused_step import FusedStep
from coopetition.train.network.network import build_network
from coopetition.train.optimisation.optimiser import Optimiser
from coopetition.train.sequences.batch import Batch

REPEATED = 20  # launches in a graph
Row = dict[str, Any]


def fused_step(
    device: torch.device, classes: int, members: int, precision: str, lazy: bool
) -> FusedStep:
    """The papers' two layers, ready for a first step."""
    settings = NetworkSettings(
        n_labels=classes, input_dim=DIM, width=WIDTH, heads=HEADS, depth=DEPTH
    )
    generators = [torch.Generator().manual_seed(seed) for seed in range(members)]
    network = build_network(settings, generators).to(device)
    optimiser = Optimiser(network, [OptimisationSettings()] * members, ())
    return FusedStep(network, optimiser, precision=precision, lazy=lazy)


def random_batch(device: torch.device, classes: int, members: int, batch: int) -> Batch:
    """Random sequences whose query's label is the first in context."""
    generator = torch.Generator().manual_seed(0)
    examples = torch.randn(members, batch, CONTEXT + 1, DIM, generator=generator)
    labels = torch.randint(classes, (members, batch, CONTEXT), generator=generator)
    return Batch(
        examples=examples.to(device),
        labels=labels.to(device),
        target=labels[..., 0].contiguous().to(device),
    )


def needs(classes: int, members: int, batch: int, lazy: bool) -> dict[str, tuple[float, float]]:
    """Bytes and operations of each launch."""
    table = classes * WIDTH
    product = 2.0 * batch * table  # of queries with the unembedding
    trunk = arithmetic(classes, batch) - 3 * product
    rows = batch * CONTEXT * WIDTH  # of labels shown, each of another
    moved = {
        "trunk_forward": (4.0 * batch * (CONTEXT + 1) * DIM, trunk / 3),
        "unembedding_forward": (4.0 * table, 2 * product),  # logits, and what flows back
        "unembedding_backward": (STEP_BYTES * table, 2 * product),  # logits again, its gradient
        "trunk_backward": (0.0, trunk / 3),
        "update_rest": (STEP_BYTES * (rows if lazy else table), trunk / 3),
    }
    if lazy:
        moved["make_up"] = (STEP_BYTES * rows, 0.0)
    return {name: (members * b, members * o) for name, (b, o) in moved.items()}


def products_per_second(rates: Rates, precision: str) -> float:
    """Operations/s of the precision's matrix products; 0 where there are none."""
    of = {"fp32": rates.product, "tf32x3": rates.tf32 / 3, "tf32": rates.tf32, "bf16": rates.bf16}
    return of[precision]


def launch_times(
    clock: Clock, rates: Rates, classes: int, batch: int, members: int, precision: str, lazy: bool
) -> dict[str, Row]:
    """Microseconds of every launch and of the step, with what they need at least."""
    step = fused_step(clock.device, classes, members, precision, lazy)
    shown = random_batch(clock.device, classes, members, batch)
    step(shown)
    launches = {made.kernel.__name__: made for made in step.launches(shown).all(shown)}
    if step.lazy is not None:
        launches |= {"make_up": step.lazy.before(shown), "settle": step.lazy.settle()}
    repeated = REPEATED if clock.device.type == "cuda" else 1

    def timed(work: Any) -> float:
        replay = captured(lambda: [work() for _ in range(repeated)], clock.device)
        return clock.microseconds(replay, repeated).median

    stays = STEP_BYTES / 2 * 2 * classes * WIDTH * members < rates.cache
    needed, found = needs(classes, members, batch, lazy), dict[str, Row]()
    for name, launch in launches.items():
        found[name] = {"microseconds": timed(launch), "programs": launch.grid[0] * members}
        speed = products_per_second(rates, precision)
        if name in needed and speed:
            moved, operations = needed[name]
            found[name]["memory"] = 1e6 * moved / (rates.near if stays else rates.far)
            found[name]["arithmetic"] = 1e6 * operations / speed
    found["step"] = {"microseconds": timed(lambda: step(shown))}
    return found


COLUMNS = ("microseconds", "memory", "arithmetic", "programs")


def report(title: str, rows: dict[str, Row]) -> str:
    """A table of launches."""
    lines = [f"\n{title}", f"{'':24s}" + "".join(f"{name:>14s}" for name in COLUMNS)]
    for name, values in rows.items():
        shown = [f"{values[c]:14,.2f}" if c in values else f"{'–':>14s}" for c in COLUMNS]
        lines.append(f"{name:24s}" + "".join(shown))
    return "\n".join(lines)


def main() -> None:
    """Parse, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small rates: does it work at all?")
    parser.add_argument("--classes", type=int, default=12_800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "tf32x3", "tf32", "bf16"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    clock = Clock(torch.device(options.device), options.rounds)
    rates = measure_rates(clock, options.classes, options.quick)
    result: dict[str, dict[str, Row]] = {}
    for members in options.members:
        for precision in options.precisions:
            for lazy in (False, True):
                name = f"{members} runs, {precision}, {'lazy' if lazy else 'dense'}"
                result[name] = launch_times(
                    clock, rates, options.classes, options.batch, members, precision, lazy
                )
                print(report(name, result[name]), flush=True)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
