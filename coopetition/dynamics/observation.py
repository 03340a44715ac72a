"""From mechanisms to measured curves: what an evaluator reads of a toy model's trajectory.

With strengths s (normalised overlaps, 1 at the target) and gains g, the logit between the two
labels in context adds where strategies agree on the answer and subtracts where they do not:

    train = σ(g1 s1 + g2 s2)    icl = σ(g1 s1)    ciwl = σ(g2 s2)    flip = σ(f1 s1 − f2 s2)

f = g unless flip has gains of its own. Pure in-weights learning (iwl) adds to the logit of whatever
label the query's class had in training, so it sides with CIWL; its own evaluator asks for one label
among all and reads σ(r s3 − o). Losses are read as floor + scale · mechanism loss. Model time
becomes sequences here and nowhere else: sequences = sequences_per_time · time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..curves.curve import Curve, Curves
from ..errors import unknown_name
from .readout import LOSSES, SHARED_FLIP, SIGNS, Key, Readout, is_predicted, predicted_keys

if TYPE_CHECKING:
    from .reduction import ReducedODE
    from .trajectory import Trajectory

Array = NDArray[np.float64]


def logistic(logit: Array) -> Array:
    """σ(u) = 1/(1 + e^{−u}) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Reading:
    """One curve read from outputs, with its exact derivatives.

    ``value`` has shape ``(…, time)``; ``by_output`` maps an output's name, ``by_parameter`` a
    `Readout` field, to a derivative of that shape.
    """

    value: Array
    by_output: Mapping[str, Array]
    by_parameter: Mapping[str, Array]


def read(
    key: Key, outputs: Mapping[str, Array], strategies: Sequence[str], readout: Readout
) -> Reading:
    """Read one curve from a trajectory's outputs.

    Parameters
    ----------
    key
        ``(evaluator, metric)``.
    outputs
        ``NAME_strength``, the strategies' losses and ``total``, shape ``(…, time)`` each.
    strategies
        The model's strategies.
    readout
        Gains, offsets and scales.

    Raises
    ------
    ValueError
        If the strategies do not predict that curve.
    """
    if not is_predicted(strategies, key):
        known = ("/".join(k) for k in predicted_keys(strategies))
        raise unknown_name("predicted curve", "/".join(key), known)
    evaluator, metric = key
    if metric == "loss":
        name = LOSSES[evaluator]
        scale = getattr(readout, f"loss_scale_{evaluator}")
        floor = getattr(readout, f"loss_floor_{evaluator}")
        loss = outputs[name]
        return Reading(
            value=floor + scale * loss,
            by_output={name: np.full_like(loss, scale)},
            by_parameter={
                f"loss_floor_{evaluator}": np.ones_like(loss),
                f"loss_scale_{evaluator}": loss,
            },
        )
    if evaluator == "iwl":
        terms = {"iwl": ("recall_gain", 1)}
    else:
        terms = {
            s: (readout.gain_name(evaluator, s), sign)
            for s, sign in SIGNS[evaluator].items()
            if s in strategies
        }
    weights = {s: sign * getattr(readout, name) for s, (name, sign) in terms.items()}
    strengths = {s: outputs[f"{s}_strength"] for s in terms}
    logit = np.asarray(sum(weights[s] * strengths[s] for s in terms))
    if evaluator == "iwl":
        logit = logit - readout.recall_offset
    value = logistic(logit)
    slope = value * (1.0 - value)
    by_parameter = {name: slope * sign * strengths[s] for s, (name, sign) in terms.items()}
    if evaluator == "iwl":
        by_parameter["recall_offset"] = -slope
    return Reading(
        value=value,
        by_output={f"{s}_strength": slope * weights[s] for s in terms},
        by_parameter=by_parameter,
    )


def in_sequences(ode: ReducedODE) -> ReducedODE:
    """The same system with sequences as its time: dy/dm = f(y)/κ, κ = ``sequences_per_time``.

    κ becomes the system's last parameter, so that what depends on the rate is derived like the
    rest. The result is no longer told to be a gradient flow.
    """
    import sympy as sp

    rate = sp.Symbol("sequences_per_time", positive=True)
    return dataclasses.replace(
        ode,
        parameters=(*ode.parameters, rate),
        defaults={**ode.defaults, rate.name: 1.0},
        rhs=tuple(f / rate for f in ode.rhs),
        loss=None,
        mobility=None,
    )


def observe(
    trajectory: Trajectory,
    readout: Readout = SHARED_FLIP,
    *,
    keys: Iterable[Key] | None = None,
    run: str | None = None,
) -> Curves:
    """The curves that evaluators would read along a trajectory.

    Parameters
    ----------
    trajectory
        An integration's result; times are dimensionless, outputs as `read` names them.
    readout
        Gains, offsets, scales and the rate that turns time into sequences.
    keys
        Curves wanted, ``(evaluator, metric)``; all that the model predicts when None.
    run
        A name for the run; the model's name when None.

    Returns
    -------
    Curves
        Its notes are the trajectory's, and why it ended before its horizon if it did.

    Raises
    ------
    ValueError
        If a curve is asked for that the model does not predict.
    """
    strategies = trajectory.strategies
    wanted = predicted_keys(strategies) if keys is None else tuple(keys)
    sequences = readout.sequences_per_time * trajectory.times
    curves = {
        key: Curve(
            evaluator=key[0],
            metric=key[1],
            sequences=sequences,
            values=read(key, trajectory.outputs, strategies, readout).value,
        )
        for key in wanted
    }
    source = {
        "model": trajectory.ode.name,
        "parameters": dict(trajectory.parameters),
        "readout": dataclasses.asdict(readout),
    }
    notes = list(trajectory.notes)
    if not trajectory.status.ok:
        notes.append(
            f"the curves end at time {trajectory.reached:g} of {trajectory.horizon:g}: "
            f"{trajectory.status.explanation}"
        )
    return Curves(run=run or trajectory.ode.name, curves=curves, source=source, notes=tuple(notes))
