"""Maps on disk: one JSON file with what was believed beforehand, what every run says, and where it
came from.
"""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import CoopetitionError
from ...files import jsonable, write_atomically
from ...version import __version__
from ..discrepancy import Discrepancy
from ..theories.theory import parameter_names
from ..theories.toy_model import toy_theory
from .effects import current_priors
from .priors import Priors, completed, priors_from
from .run_information import RunInformation, VerdictRecord
from .settings_map import SettingsMap

FORMAT = 1
_PLAIN = ("run", "kind", "until", "settings")
_ARRAYS = ("optimum", "information", "score")
_DIGITS = 10  # of a number in the file; the optimum itself is known to about five


def save_map(settings_map: SettingsMap, path: str | os.PathLike[str]) -> Path:
    """Write a map.

    Raises
    ------
    ValueError
        If its theory is not a toy model of the catalogue.

    Examples
    --------
    >>> import tempfile
    >>> from coopetition.forecasting.settings_map import default_map, load_map
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load_map(save_map(default_map(), f"{folder}/map.json"))
    >>> again.parameters == default_map().parameters
    True
    """
    if settings_map.declared is not None:
        raise ValueError(f"a map of theory {settings_map.theory!r} is of no use without its code")
    form = settings_map.discrepancy
    own = {field.name: getattr(form, field.name) for field in dataclasses.fields(form)}
    content = {
        "format": FORMAT,
        "theory": settings_map.theory,
        "parameters": settings_map.parameters,
        "deviation": _rounded(settings_map.deviation),
        "discrepancy": {**own, "spread": dict(form.spread)},
        "excluded": dict(settings_map.excluded),
        "provenance": dict(settings_map.provenance),
        "priors": settings_map.priors.as_dict(),
        "runs": [
            {
                **{name: getattr(run, name) for name in _PLAIN},
                "source": jsonable(run.source),
                **{name: _rounded(getattr(run, name)) for name in _ARRAYS},
                "verdicts": [dataclasses.asdict(verdict) for verdict in run.verdicts],
            }
            for run in settings_map.runs
        ],
    }
    return write_atomically(path, json.dumps(content, indent=1))


def load_map(path: str | os.PathLike[str]) -> SettingsMap:
    """Read a map that `save_map` wrote.

    Raises
    ------
    CoopetitionError
        If the file is missing, damaged, or was made for other parameters of the theory.
    """
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CoopetitionError(f"cannot read the map {path}: {error}") from error
    return map_from_json(text, str(path))


def map_from_json(text: str, name: str) -> SettingsMap:
    """A map from the text of its file; ``name`` is what messages call it."""
    remedy = "make one with coopetition calibrate"
    try:
        content = json.loads(text)
        if not isinstance(content["format"], int):  # another kind of file, such as of fits
            raise ValueError(f"its format is {content['format']!r}")
        if content["format"] != FORMAT:
            raise CoopetitionError(
                f"{name} is a map of format {content['format']}, not {FORMAT}: calibrate it anew"
            )
        priors, notes = _beliefs(content)
        found = SettingsMap(
            theory=content["theory"],
            parameters=tuple(content["parameters"]),
            deviation=np.array(content["deviation"]),
            runs=tuple(_run(run) for run in content["runs"]),
            excluded=content["excluded"],
            discrepancy=Discrepancy(**content["discrepancy"]),
            priors=priors,
            provenance={**content["provenance"], **notes},
        )
        known = parameter_names(found.the_theory())
    except (ValueError, KeyError, TypeError) as error:
        raise CoopetitionError(f"{name} is no calibrated map ({error}); {remedy}") from error
    if known != found.parameters:
        raise CoopetitionError(f"{name} was made for other parameters of {found.theory}: {remedy}")
    return found


def _beliefs(content: dict[str, Any]) -> tuple[Priors, dict[str, str]]:
    """The priors in a file, and what its provenance has to say of those that are not."""
    present = current_priors(toy_theory(content["theory"]))
    if "priors" not in content:  # a file of before they were kept
        return present, {"priors": f"the file held none; those of version {__version__} were taken"}
    own, new = completed(priors_from(content["priors"]), present)
    if [p.name for p in own.parameters] != list(content["parameters"]):
        raise ValueError("its priors are of other parameters than its runs")
    if not new:
        return own, {}
    said = f"the file held none of {', '.join(new)}; those of version {__version__} were taken"
    return own, {"priors": said}


def _run(row: dict[str, Any]) -> RunInformation:
    return RunInformation(
        run=str(row["run"]),
        kind=str(row["kind"]),
        until=float(row["until"]),
        settings=row["settings"],
        source=row["source"],
        optimum=np.array(row["optimum"]),
        information=np.array(row["information"]),
        score=np.array(row["score"]),
        verdicts=tuple(VerdictRecord(**verdict) for verdict in row.get("verdicts", ())),
    )


def _rounded(array: np.ndarray[Any, Any]) -> Any:
    """Nested lists with `_DIGITS` significant digits."""
    if array.ndim:
        return [_rounded(part) for part in array]
    return float(f"{float(array):.{_DIGITS}g}")
