"""Fits on disk: one JSON file that holds all of them, what they were fitted to, and how."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..curves.curve import read_only
from ..dynamics.model import Cost, Model, Strategy
from ..errors import LogError
from ..files import jsonable, provenance, write_atomically
from .information import FittedParameter
from .measurements import Measurements, Target
from .multistart import Optimum
from .parameters import Parameter
from .residuals import Noise, ResidualDiagnostics
from .result import Fit
from .settings import FitSettings

FORMAT = "coopetition fits 1"


def write_fits(
    path: str | os.PathLike[str],
    fits: Fit | Iterable[Fit],
    *,
    settings: Mapping[str, Any] | None = None,
    entries: Iterable[Mapping[str, Any]] | None = None,
) -> Path:
    """Write fits as one JSON file, whole or not at all.

    Parameters
    ----------
    path
        Where to.
    fits
        A fit, or several.
    settings
        What was asked for, besides each fit's own settings.
    entries
        More keys for each fit in turn: landmarks, a verdict, ….

    Returns
    -------
    pathlib.Path
        The path.
    """
    given = [fits] if isinstance(fits, Fit) else list(fits)
    extra = list(entries) if entries is not None else [{} for _ in given]
    sources = (fit.measurements.source for fit in given)
    inputs = {s["path"]: s["sha256"] for s in sources if "sha256" in s and "path" in s}
    seed = given[0].settings.seed if given else None
    content = {
        "format": FORMAT,
        **provenance("fit", settings or {}, seed=seed),
        "inputs": [{"path": str(name), "sha256": digest} for name, digest in inputs.items()],
        "fits": [{**fit_to_json(fit), **more} for fit, more in zip(given, extra, strict=True)],
    }
    return write_atomically(path, json.dumps(jsonable(content), indent=1, allow_nan=False))


def read_fits(path: str | os.PathLike[str]) -> tuple[Fit, ...]:
    """Read what `write_fits` wrote: fits of the same numbers and declarations.

    Raises
    ------
    LogError
        If the file is missing, no JSON, or holds no fits.
    """
    try:
        content = json.loads(Path(path).expanduser().read_text())
    except OSError as error:
        raise LogError(f"cannot read fits from {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise LogError(f"{path} is no JSON file: {error}; give one that fit -o wrote") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise LogError(
            f"{path} holds no fits (format is not {FORMAT!r}); give one that fit -o wrote"
        )
    try:
        return tuple(fit_from_json(entry) for entry in content["fits"])
    except (KeyError, TypeError, ValueError) as error:
        raise LogError(f"{path} is damaged: {error!r}; fit again") from error


def fit_to_json(fit: Fit) -> dict[str, Any]:
    """A fit as numbers, texts, lists and dictionaries."""
    data = fit.measurements
    return {
        "run": fit.run,
        "model": fit.model.name,
        "parameters": {
            p.name: {"value": p.value, "lower": p.lower, "upper": p.upper, "status": p.status}
            for p in fit.parameters
        },
        "rmse": dict(fit.rmse),
        "aicc": fit.aicc,
        "bic": fit.bic,
        "chi2": fit.chi2,
        "effective": fit.effective,
        "variance": fit.variance,
        "noise": dataclasses.asdict(fit.noise),
        "starts": [s.cost for s in fit.starts],
        "null_directions": [dict(d) for d in fit.null_directions],
        "warnings": list(fit.warnings),
        "declaration": _model_to_json(fit.model),
        "declared": [dataclasses.asdict(p) for p in fit.declared],
        "settings": dataclasses.asdict(fit.settings),
        "waterfall": [dataclasses.asdict(s) for s in fit.starts],
        "covariance": fit.covariance.tolist(),
        "diagnostics": [dataclasses.asdict(d) for d in fit.diagnostics],
        "measurements": {
            "sequences": data.sequences.tolist(),
            "targets": [
                {
                    "key": list(t.key),
                    "at": t.at.tolist(),
                    "values": t.values.tolist(),
                    "sigma": t.sigma.tolist(),
                }
                for t in data.targets
            ],
            "source": dict(data.source),
            "notes": list(data.notes),
        },
        "provenance": dict(fit.provenance),
    }


def fit_from_json(entry: Mapping[str, Any]) -> Fit:
    """The fit that `fit_to_json` made these values from."""
    data = entry["measurements"]
    covariance = [[math.nan if v is None else v for v in row] for row in entry["covariance"]]
    k = len(covariance)
    return Fit(
        model=_model_from_json(entry["declaration"]),
        declared=tuple(
            Parameter(**{**p, **{e: _infinite(p[e], e) for e in ("lower", "upper")}})
            for p in entry["declared"]
        ),
        parameters=tuple(
            FittedParameter(name=name, **values) for name, values in entry["parameters"].items()
        ),
        measurements=Measurements(
            run=entry["run"],
            sequences=read_only(data["sequences"]),
            targets=tuple(
                Target(
                    key=(t["key"][0], t["key"][1]),
                    at=np.array(t["at"], dtype=np.intp),
                    values=read_only(t["values"]),
                    sigma=read_only(t["sigma"]),
                )
                for t in data["targets"]
            ),
            source=data["source"],
            notes=tuple(data["notes"]),
        ),
        settings=FitSettings(**entry["settings"]),
        starts=tuple(
            Optimum(
                cost=s["cost"],
                theta=tuple(s["theta"]),
                evaluations=s["evaluations"],
                converged=s["converged"],
                screened_cost=math.nan if s["screened_cost"] is None else s["screened_cost"],
            )
            for s in entry["waterfall"]
        ),
        chi2=entry["chi2"],
        variance=entry["variance"],
        noise=Noise(**entry["noise"]),
        covariance=read_only(np.reshape(covariance, (k, k))),
        null_directions=tuple(entry["null_directions"]),
        diagnostics=tuple(
            ResidualDiagnostics(**{**d, "key": (d["key"][0], d["key"][1])})
            for d in entry["diagnostics"]
        ),
        warnings=tuple(entry["warnings"]),
        provenance=entry["provenance"],
    )


def _infinite(bound: float | None, end: str) -> float:
    if bound is not None:
        return bound
    return -math.inf if end == "lower" else math.inf


def _model_to_json(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "strategies": [dataclasses.asdict(s) for s in model.strategies],
        "dimensions": dict(model.dimensions),
        "parameters": dict(model.parameters),
        "costs": [dataclasses.asdict(c) for c in model.costs],
        "decay": dict(model.decay),
        "description": model.description,
        "reference": model.reference,
    }


def _model_from_json(entry: Mapping[str, Any]) -> Model:
    return Model(
        **{
            **entry,
            "strategies": tuple(
                Strategy(**{**s, "factors": tuple(s["factors"])}) for s in entry["strategies"]
            ),
            "costs": tuple(Cost(**{**c, "factors": tuple(c["factors"])}) for c in entry["costs"]),
        }
    )
