"""What `fit --posterior` says: quantiles of the sampled parameters, and the samples in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coopetition.fitting import Fit


def posterior_entry(
    result: Fit, steps: int, *, seed: int, beside: Path | None, progress: bool
) -> dict[str, Any]:
    """The ``posterior`` of a fit's JSON, samples in ``beside`` with ``.samples.parquet`` added.

    Keys: ``parameters`` {name: {median, lower, upper}} (central 95 %), ``acceptance``,
    ``autocorrelation`` in steps, ``samples`` (a file, or None), ``notes``.
    """
    from coopetition.files import provenance, write_table
    from coopetition.fitting import sample_posterior

    posterior = sample_posterior(result, steps=steps, seed=seed, progress=progress)
    file = None
    if beside is not None:
        file = f"{beside}.samples.parquet"
        columns = {name: posterior.values[:, j] for j, name in enumerate(posterior.names)}
        about = provenance("fit", {"model": result.model.name, "steps": steps}, seed=seed)
        write_table(file, columns, about)
    quantiles = {name: posterior.quantiles(name) for name in posterior.names}
    return {
        "parameters": {
            name: {"median": middle, "lower": lower, "upper": upper}
            for name, (lower, middle, upper) in quantiles.items()
        },
        "acceptance": posterior.acceptance,
        "autocorrelation": posterior.autocorrelation,
        "samples": file,
        "notes": list(posterior.notes),
    }
