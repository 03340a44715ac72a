"""Posterior samples of a fit's parameters, by an ensemble sampler.

The likelihood is exp(−χ²/2v) with the fit's own `Fit.variance` v, so that autocorrelated residuals
count for what they are worth; the prior is uniform over the box of bounds, in logarithms for
parameters on a log scale.

Reference: Goodman & Weare 2010; Foreman-Mackey et al. 2013, arXiv 1202.3665 (emcee).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays
from ..curves.curve import read_only
from ..errors import CoopetitionError, unknown_name
from ..seeds import stream_seed
from .draws import approximate_draws
from .multistart import one_blas_thread
from .result import Fit

CONVERGED = 30.0  # chain length in autocorrelation times from which quantiles can be trusted


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Posterior(ReadOnlyArrays):
    """Samples of the free parameters.

    Parameters
    ----------
    names
        The free parameters.
    thetas
        Samples of the optimiser's numbers, shape ``(samples, k)``.
    values
        The same in the parameters' own units, shape ``(samples, k)``.
    acceptance
        Share of proposals accepted.
    autocorrelation
        Autocorrelation time in steps, of the slowest parameter.
    notes
        What to know before using it.
    """

    names: tuple[str, ...]
    thetas: NDArray[np.float64]
    values: NDArray[np.float64]
    acceptance: float
    autocorrelation: float
    notes: tuple[str, ...] = ()

    def quantiles(self, name: str, shares: tuple[float, ...] = (0.025, 0.5, 0.975)) -> list[float]:
        """Quantiles of one parameter; unknown names are refused."""
        if name not in self.names:
            raise unknown_name("free parameter", name, self.names)
        return [float(q) for q in np.quantile(self.values[:, self.names.index(name)], shares)]

    def summary(self) -> str:
        """Medians and 95 % intervals as text."""
        lines = [
            f"{len(self.thetas)} samples, acceptance {self.acceptance:.2f}, autocorrelation time "
            f"{self.autocorrelation:.0f} steps"
        ]
        for name in self.names:
            low, middle, high = self.quantiles(name)
            lines.append(f"  {name}  {middle:.4g}  {low:.4g} – {high:.4g}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def sample_posterior(
    fit: Fit,
    *,
    steps: int = 1000,
    walkers: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Posterior:
    """Sample the posterior with emcee (extra ``posterior``).

    Parameters
    ----------
    fit
        A fit.
    steps
        Steps of each walker; the first half is thrown away.
    walkers
        Number of walkers; four a parameter when None, at least 32.
    seed
        Of starts and moves.
    progress
        Whether to show progress on stderr.

    Raises
    ------
    CoopetitionError
        If emcee is not installed.
    ValueError
        If there are fewer walkers than emcee can use, or no step left.
    """
    try:
        import emcee
    except ImportError as error:
        raise CoopetitionError(
            "sampling a posterior needs emcee: pip install 'coopetition[posterior]'"
        ) from error
    k = len(fit.free)
    count = max(32, 4 * k) if walkers is None else walkers
    if count < 2 * k or count % 2:
        raise ValueError(f"walkers must be even and at least {2 * k}, not {count}")
    if steps < 10:
        raise ValueError(f"steps must be at least 10, not {steps}")
    problem = fit.problem

    def log_probability(thetas: NDArray[np.float64]) -> NDArray[np.float64]:
        inside = np.all((thetas >= problem.lower) & (thetas <= problem.upper), axis=1)
        result = np.full(len(thetas), -np.inf)
        if inside.any():
            result[inside] = -0.5 * problem.costs(thetas[inside]) / fit.variance
        return result

    rng = np.random.default_rng(stream_seed(seed, "posterior"))
    start = approximate_draws(fit, count, rng).thetas
    moves = [
        (emcee.moves.StretchMove(), 0.5),
        (emcee.moves.DEMove(), 0.4),
        (emcee.moves.DESnookerMove(), 0.1),
    ]
    sampler = emcee.EnsembleSampler(count, k, log_probability, vectorize=True, moves=moves)
    state = emcee.State(
        start + 1e-6 * rng.normal(size=start.shape) * (problem.upper - problem.lower),
        random_state=np.random.RandomState(stream_seed(seed, "moves") % 2**32).get_state(),
    )
    # walkers that coincide are spread by the moves themselves
    with one_blas_thread():
        sampler.run_mcmc(state, steps, progress=progress, skip_initial_state_check=True)
    chain = sampler.get_chain(discard=steps // 2)
    # a parameter that never moved has no autocorrelation time: as good as an endless one
    with np.errstate(invalid="ignore", divide="ignore"):
        times = emcee.autocorr.integrated_time(chain, quiet=True, tol=0)
    time = float(np.max(np.where(np.isfinite(times), times, np.inf)))
    thetas = chain.reshape(-1, k)
    notes: tuple[str, ...] = ()
    if not time * CONVERGED < len(chain):
        notes = (
            f"the chains are only {len(chain) / max(time, 1.0):.0f} autocorrelation times long: "
            f"take more steps than {steps}",
        )
    values = np.stack(
        [[p.to_external(v) for v in thetas[:, j]] for j, p in enumerate(problem.free)], axis=1
    )
    return Posterior(
        names=fit.free,
        thetas=read_only(thetas),
        values=read_only(values),
        acceptance=float(np.mean(sampler.acceptance_fraction)),
        autocorrelation=time,
        notes=notes,
    )
