"""The posterior of a fit's parameters: draws by sequential Monte Carlo, longer chains by emcee.

The likelihood is exp(−χ²/2v) with v = `Fit.variance`, which accounts for autocorrelated residuals;
the prior is uniform within the bounds, in logarithms for parameters on a log scale.

Reference: Goodman & Weare 2010; Foreman-Mackey et al. 2013, arXiv 1202.3665 (emcee).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from ..arrays import ReadOnlyArrays
from ..curves.curve import read_only
from ..errors import CoopetitionError, unknown_name
from ..seeds import stream, stream_seed
from .joint_fit import Fit
from .multistart import one_blas_thread
from .smc import FIRST, sequential_monte_carlo

Array = NDArray[np.float64]

CONVERGED = 30.0  # chain length in autocorrelation times from which quantiles can be trusted
DRAWS, MOVES = 512, 4  # population of sequential Monte Carlo, and its moves a step
OVERSAMPLED = 20  # normal draws a point in the box
JITTER = 1e-6  # of the box: walkers that start at one point are spread by their moves


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Posterior(ReadOnlyArrays):
    """Samples of the free parameters.

    Parameters
    ----------
    names
        The free parameters.
    thetas, values
        Samples of the optimiser's numbers, and in the parameters' own units, ``(samples, k)``.
    acceptance, autocorrelation
        Share of proposals accepted, and the slowest parameter's autocorrelation time in steps.
    notes
        What to know before using it.
    """

    names: tuple[str, ...]
    thetas: Array
    values: Array
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
    fit, steps, walkers
        A fit, steps of each walker (the first half is discarded), and the number of walkers; four
        a parameter when None, at least 32.
    seed, progress
        Seed of starts and moves, and whether to show progress on stderr.

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
    rng = stream(seed, "posterior")
    moves = [
        (emcee.moves.StretchMove(), 0.5),
        (emcee.moves.DEMove(), 0.4),
        (emcee.moves.DESnookerMove(), 0.1),
    ]
    sampler = emcee.EnsembleSampler(
        count, k, lambda thetas: _log_likelihood(fit, thetas), vectorize=True, moves=moves
    )
    with one_blas_thread():
        start = posterior_draws(fit, count, rng)[0]
        start += JITTER * rng.normal(size=start.shape) * (problem.upper - problem.lower)
        random_state = np.random.RandomState(stream_seed(seed, "moves") % 2**32).get_state()
        state = emcee.State(start, random_state=random_state)
        sampler.run_mcmc(state, steps, progress=progress, skip_initial_state_check=True)
    chain = sampler.get_chain(discard=steps // 2)
    # a parameter that never moved has no autocorrelation time: count it as infinite
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


def posterior_draws(fit: Fit, count: int, rng: np.random.Generator) -> tuple[Array, float]:
    """Draws ``(count, k)`` by sequential Monte Carlo, and the population's distinct share."""
    problem = fit.problem
    jacobian = problem.evaluate(fit.theta).jacobian
    # the first density is the Fisher information's normal one, cut at the box; a normal density
    # with the box's variance keeps undetermined directions finite
    box = np.diag(12.0 / (problem.upper - problem.lower) ** 2)
    precision = jacobian.T @ jacobian / fit.variance + box

    def log_normal(thetas: Array) -> Array:
        away = thetas - fit.theta
        return np.asarray(-0.5 * np.sum((away @ precision) * away, axis=1))

    def log_density(thetas: Array) -> Array:
        return np.where(_inside(fit, thetas), log_normal(thetas), -np.inf)

    def log_ratio(thetas: Array) -> Array:
        return _log_likelihood(fit, thetas) - log_normal(thetas)

    draws = max(DRAWS, count)
    first = _in_box(fit, precision, FIRST * draws, rng)
    population = sequential_monte_carlo(
        first, log_density, log_ratio, rng, draws=draws, moves=MOVES
    )
    distinct = len(np.unique(population.thetas, axis=0)) / draws
    return population.thetas[rng.choice(draws, count, replace=False)], distinct


def _in_box(fit: Fit, precision: Array, count: int, rng: np.random.Generator) -> Array:
    """Normal draws around the optimum that lie in the box; mirrored at it where too few do."""
    lower, upper = fit.problem.lower, fit.problem.upper
    root = np.linalg.cholesky(np.linalg.inv(precision))
    thetas = fit.theta + rng.standard_normal((OVERSAMPLED * count, len(lower))) @ root.T
    beyond = np.sum((thetas < lower) | (thetas > upper), axis=1)
    thetas = thetas[np.argsort(beyond, kind="stable")[:count]]
    width = upper - lower
    phase = np.mod(thetas - lower, 2 * width)
    return np.asarray(lower + np.where(phase > width, 2 * width - phase, phase))


def _inside(fit: Fit, thetas: Array) -> NDArray[np.bool_]:
    lower, upper = fit.problem.lower, fit.problem.upper
    return np.asarray(np.all((thetas >= lower) & (thetas <= upper), axis=1))


def _log_likelihood(fit: Fit, thetas: Array) -> Array:
    """−χ²/2v inside the box, −inf outside, shape ``(n,)``."""
    inside = _inside(fit, thetas)
    result = np.full(len(thetas), -np.inf)
    if inside.any():
        result[inside] = -0.5 * fit.problem.costs(thetas[inside]) / fit.variance
    return result
