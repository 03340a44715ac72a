"""Training steps on a GPU beside what a user would write instead, in one run.

    python benchmarks/gpu_step.py [--output FILE.json] [--members 1 8 32 128 256]
    python benchmarks/gpu_step.py --device cpu --quick

The papers' two-layer network, batch 32, 12,800 labels, fp32. Times are by device events, medians
after warm-up. Ours draw their sequences, the others train on one batch again and again. Ensembles
follow (label rows updated all or when shown, float32 and TF32 thrice), with the peak of memory and
its estimate; then the floor (a step's bytes and operations at the rates of large copies and
products, and the time between two nodes of a graph), each launch of the fused step beside its own
(`gpu_stages.py`), and each kernel's share as a profiler sees it.
From a checkout without installation: PYTHONPATH=. python3 benchmarks/gpu_step.py
"""

from __future__ import annotations

import argparse
import dataclasses
import gc
import json
import platform
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from gpu_clock import Clock, Spent
from gpu_floor import Rates, floor, measure_rates
from gpu_methods import ENSEMBLES, OURS, jax_peers, note, ours, run_settings, torch_peers
from gpu_stages import COLUMNS, launch_times

from coopetition.errors import CoopetitionError
from coopetition.train.compute.gpu.capture import STRETCH
from coopetition.train.compute.gpu.memory import forget_peak, peak_memory
from coopetition.train.compute.precision import products

Row = dict[str, Any]
FUSED_LAUNCHES = 4  # of a fused step that wait for each other: one runs beside the next
# runs, precision, whether label rows wait
LAUNCHES = [(1, "fp32", False), (1, "tf32x3", False)]
LAUNCHES += [(32, precision, lazy) for precision in ("fp32", "tf32x3") for lazy in (False, True)]


def row(spent: Spent, batch: int, members: int = 1) -> Row:
    """A line of a table."""
    speed = 1e6 * batch * members / spent.median
    return {**spent._asdict(), "sequences_per_second": speed}


def attempt(name: str, work: Callable[[], Row]) -> Row:
    """A line, or why there is none: one method's failure leaves the others."""
    try:
        return work()
    except Exception as error:  # of whatever kind compilers and libraries have
        reason = (str(error).strip() or repr(error)).splitlines()[0]
        stated = isinstance(error, CoopetitionError | ValueError)
        note(f"{name}: {reason if stated else traceback.format_exc()}")
        return {"failed": reason}
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def one_run(options: argparse.Namespace, clock: Clock) -> dict[str, Row]:
    """Steps of one run, by every method."""
    found: dict[str, Row] = {}
    for name, (kernels, capture, matmul) in OURS.items():

        def work(kernels: str = kernels, capture: str = capture, matmul: str = matmul) -> Row:
            members = [
                run_settings(options.classes, options.batch, kernels, capture, matmul=matmul)
            ]
            ensemble = ours(members, clock.device)
            stretch = STRETCH if capture == "auto" else 4
            calls = options.calls if capture == "auto" else 4
            spent = clock.microseconds(lambda: ensemble.advance(stretch), stretch, calls=calls)
            return row(spent, options.batch)

        found[name] = attempt(name, work)
    with products("fp32", clock.device):
        for name, step in torch_peers(
            options.classes, options.batch, clock.device, options.compile
        ).items():
            found[name] = attempt(
                name, lambda step=step: row(clock.microseconds(step, 1, calls=20), options.batch)
            )
    if options.jax:
        times, why_not = jax_peers(
            options.classes, options.batch, options.jax_python, options.rounds,
            clock.device.type == "cpu",
        )  # fmt: skip
        found |= {name: row(spent, options.batch) for name, spent in times.items()}
        if why_not:
            note(why_not)
            found["JAX"] = {"failed": why_not}
    return found


def ensembles(options: argparse.Namespace, clock: Clock) -> dict[str, Row]:
    """Ensembles of every size, with the memory they took and what of it is held throughout."""
    found: dict[str, Row] = {}
    for count in options.members:
        for kind, (kernels, matmul, lazy) in ENSEMBLES.items():

            def work(
                count: int = count, kernels: str = kernels, matmul: str = matmul,
                lazy: bool | None = lazy,
            ) -> Row:  # fmt: skip
                forget_peak(clock.device)
                members = [
                    run_settings(options.classes, options.batch, kernels, seed=seed, matmul=matmul)
                    for seed in range(count)
                ]
                ensemble = ours(members, clock.device, lazy)
                calls = max(1, options.calls // count)
                spent = clock.microseconds(
                    lambda: ensemble.advance(STRETCH), STRETCH, calls=calls, warm_up=2
                )
                ensemble.evaluate()
                need = ensemble.memory_need()
                memory = {"held": need.total(count), "peak": peak_memory(clock.device)}
                return {**row(spent, options.batch, count), **memory}

            name = f"{count} {kind}"
            found[name] = attempt(name, work)
    return found


def stages(options: argparse.Namespace, clock: Clock, kernels: str, count: int) -> dict[str, Row]:
    """Microseconds and launches of each kernel in a step, by PyTorch's profiler."""
    from torch.profiler import ProfilerActivity, profile

    members = [
        run_settings(options.classes, options.batch, kernels, "off", seed) for seed in range(count)
    ]
    ensemble, steps = ours(members, clock.device), 8 if options.quick else 64
    ensemble.advance(steps)
    on_gpu = clock.device.type == "cuda"
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as seen:
        ensemble.advance(steps)
        if on_gpu:
            torch.cuda.synchronize()
    key = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    events = sorted(seen.key_averages(), key=lambda event: -float(getattr(event, key)))
    return {
        event.key[:60]: {
            "microseconds": float(getattr(event, key)) / steps,
            "launches": event.count / steps,
        }
        for event in events[: options.kernels_shown]
    }


def data_times(options: argparse.Namespace, clock: Clock) -> dict[str, Row]:
    """Microseconds a step for drawing sequences and for looking up exemplars."""
    ensemble = ours([run_settings(options.classes, options.batch, "plain")], clock.device)
    ensemble.advance(STRETCH)
    stream, found = ensemble.stream, {}

    def draw() -> None:
        stream.position = stream.block
        stream.refill_if_empty()

    def show() -> None:
        stream.refill_if_empty().show(0, min(STRETCH, stream.block))

    shown = min(STRETCH, stream.block)
    for name, work, steps in (("draw", draw, stream.block), ("look up", show, shown)):
        found[name] = {"microseconds": clock.microseconds(work, steps).median}
    return found


def table(title: str, rows: dict[str, Row], columns: dict[str, tuple[str, float]]) -> None:
    """Print some columns, ``key: (heading, divisor)``."""
    print(f"\n{title}\n{'':40s}" + "".join(f"{heading:>16s}" for heading, _ in columns.values()))
    for name, values in rows.items():
        if "failed" in values:
            print(f"{name:40s}  failed: {values['failed'][:80]}")
            continue
        shown = [
            f"{values[key] / by:16,.2f}" if values.get(key) is not None else f"{'–':>16s}"
            for key, (_, by) in columns.items()
        ]
        print(f"{name[:40]:40s}" + "".join(shown))


def report(result: dict[str, Any]) -> None:
    """Print every table."""
    speed = {"sequences_per_second": ("1000 seq/s", 1e3)}
    microseconds = {"median": ("median us", 1.0), "fast": ("fast tenth", 1.0)}
    table("one run, a step", result["one run"], {**microseconds, **speed})
    plain = result["one run"].get("plain PyTorch", {}).get("median")
    best = result["one run"].get("ours: fused, captured", {}).get("median")
    if plain and best:
        print(f"plain PyTorch / ours: {plain / best:.1f}")
    memory = {"peak": ("peak GB", 1e9), "held": ("held GB", 1e9)}
    table("ensembles, a step of all", result["ensembles"], {**microseconds, **speed, **memory})
    units = {"far": 1e9, "near": 1e9, "product": 1e12, "tf32": 1e12, "bf16": 1e12, "node": 1e-6}
    print("\nrates: " + ", ".join(f"{k} {result['rates'][k] / u:,.2f}" for k, u in units.items()))
    columns = {k: (k, 1.0) for k in ("floor", "memory", "arithmetic", "launches", "ours", "gap")}
    table("floor, microseconds (gap: ours / floor)", result["floor"], columns)
    each = {"microseconds": ("us a step", 1.0), "launches": ("launches", 1.0)}
    each_launch = {name: (name, 1.0) for name in COLUMNS}
    for name, rows in result["launches"].items():
        table(f"launches of a fused step, microseconds, {name}", rows, each_launch)
    for name, rows in result["stages"].items():
        table(f"kernels of a step, {name}", rows, each)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Everything."""
    device = torch.device(options.device)
    clock = Clock(device, options.rounds)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    result: dict[str, Any] = {
        "about": {"device": name, "torch": torch.__version__, "command": sys.argv[1:]},
        "one run": one_run(options, clock),
        "ensembles": ensembles(options, clock),
    }
    rates: Rates = measure_rates(clock, options.classes, options.quick)
    result["rates"] = dataclasses.asdict(rates)
    result["floor"] = {}
    for count in options.members:
        for kind in ("fused", "fused, lazy"):
            lazy = kind != "fused"
            least = floor(rates, options.classes, options.batch, count, FUSED_LAUNCHES + lazy, lazy)
            took = result["ensembles"].get(f"{count} {kind}", {}).get("median")
            gap = {"ours": took, "gap": took / least["floor"]} if took else {}
            result["floor"][f"{count} {kind}"] = {**least, **gap}
    result["launches"] = {}
    for count, precision, lazy in LAUNCHES:
        if count <= max(options.members):
            name = f"{count} runs, {precision}, {'lazy' if lazy else 'dense'}"
            found = attempt(
                name,
                lambda c=count, p=precision, z=lazy: launch_times(
                    clock, rates, options.classes, options.batch, c, p, z
                ),
            )
            result["launches"][name] = {"": found} if "failed" in found else found
    result["stages"] = {"data": data_times(options, clock)}
    for kernels, count in (("fused", 1), ("fused", 32), ("plain", 1)):
        if count <= max(options.members):
            name = f"{kernels}, {count} runs"
            found = attempt(name, lambda k=kernels, c=count: stages(options, clock, k, c))
            result["stages"][name] = {"": found} if "failed" in found else found
    return result


def main() -> None:
    """Parse, measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true", help="small sizes: does it work at all?")
    parser.add_argument("--classes", type=int, default=12_800)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 32, 128, 256])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=32, help="stretches of steps in a round")
    parser.add_argument("--kernels-shown", type=int, default=14)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument("--no-jax", dest="jax", action="store_false")
    parser.add_argument("--jax-python", default=sys.executable, help="one with jax and equinox")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    if options.quick:
        options.classes, options.batch, options.members = 200, 8, [1, 2]
        options.rounds, options.calls, options.kernels_shown = 2, 1, 4
    result = measure(options)
    report(result)
    if options.output:
        options.output.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
