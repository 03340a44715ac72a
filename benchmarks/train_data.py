"""What sampling and evaluating cost beside a training step, on this machine.

    OMP_NUM_THREADS=1 python benchmarks/train_data.py

For each number of classes: microseconds to make a batch (sequences drawn in blocks and exemplars
looked up), microseconds of a training step on it, and milliseconds of an evaluation of five
evaluators of 1,000 sequences; medians over repeats.
"""

import statistics
import time
from collections.abc import Callable

import torch

from coopetition.settings.training import TrainingSettings
from coopetition.train.ensemble import Ensemble

BATCHES, REPEATS = 256, 7  # batches a repeat; a multiple of a block


def seconds(work: Callable[[], object]) -> float:
    """Median time of one repeat."""
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def row(n_classes: int) -> str:
    """The costs with so many classes."""
    ensemble = Ensemble([TrainingSettings(data={"n_classes": n_classes})], torch.device("cpu"))
    batch = next(ensemble.stream)

    def sample() -> None:
        for _ in range(BATCHES):
            next(ensemble.stream)

    def step() -> None:
        for _ in range(BATCHES):
            ensemble.step(batch)

    ensemble.step(batch)  # compiles what is compiled on first use
    of_batch, of_step = (1e6 * seconds(work) / BATCHES for work in (sample, step))
    evaluation = 1e3 * seconds(ensemble.evaluate)
    return (
        f"{n_classes:7,}   {of_batch:8.0f}   {of_step:7.0f}   {of_batch / of_step:10.3f}   "
        f"{evaluation:13.0f}"
    )


def main() -> None:
    """Print a row for each number of classes."""
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, batch 32, context 2")
    print("classes   batch/µs   step/µs   batch/step   evaluation/ms")
    for n_classes in (1_600, 12_800):
        print(row(n_classes))


if __name__ == "__main__":
    main()
