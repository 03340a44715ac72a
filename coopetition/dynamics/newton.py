"""Newton's method on a system's right-hand side from many states at once, and continua of roots.

Each step is damped as by Levenberg and Marquardt and taken through the singular values of the
Jacobian J = U Σ Vᵀ,

    δ = −V Σ/(Σ² + λσ₁²) Uᵀ f,

so that it exists where J is singular, and meets a continuum of roots at its nearest point. Along a
continuum J has a null space; since an isolated degenerate root (y' = −y³) has one too, the null
directions are tried: where Newton's method returns from a step along them, there is no continuum,
and where it stays, its dimension is the number of directions that stayed.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .solver.compilation import CompiledODE

Floats = NDArray[np.float64]

RESIDUAL = 1e-10  # |f| of a root, relative to |f| at usual starts
ZERO = 1e-7  # an eigenvalue that counts as zero, relative to J at usual starts
SAME = 1e-5  # states that count as equal, relative to their size
_TIGHT = 1e-16  # |f| at which an iteration ends, relative to |f| at usual starts
_ITERATIONS = 200  # a root of order m converges by 1 − 1/m a step
_STUCK = 1e4  # damping at which an iteration is given up: |f| has a minimum there
_PROBE = 0.03  # length of a step along null directions, relative to the state
_STAYED = 0.1  # share of that step from which on it has stayed
_SMALL = 3e-4  # coordinates that are 0 if |f| is no larger then: roots of order m lack digits


class NewtonSystem:
    """A system at one set of parameters ``(p,)``, with the sizes that f and J usually have."""

    def __init__(self, code: CompiledODE, p: Floats, points: Floats) -> None:
        self.code, self.p = code, p
        # |f| and |J| at usual starts (those within the box): what is small is small beside these
        usual = []
        for name in ("rhs", "jacobian"):
            sizes = np.abs(self.table(name, points)).max(axis=1)
            sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
            usual.append(float(np.quantile(sizes, 0.25)) if len(sizes) else 1.0)
        self.speed, self.stiffness = usual

    @property
    def small(self) -> float:
        """The largest size of an eigenvalue that counts as zero."""
        return ZERO * self.stiffness

    def table(self, name: str, y: Floats) -> Floats:
        """A function of the code at states ``(count, state)``."""
        columns = {"rhs": y.shape[1], "jacobian": y.shape[1] ** 2}
        y = np.ascontiguousarray(y)
        out = np.empty((len(y), columns.get(name, len(self.code.output_names))))
        self.code.functions[name](len(y), y.ctypes.data, self.p.ctypes.data, 0, out.ctypes.data)
        return out

    def jacobian(self, y: Floats) -> Floats:
        """J ``(count, state, state)``."""
        return self.table("jacobian", y).reshape(len(y), y.shape[1], y.shape[1])

    @np.errstate(all="ignore")  # far from the origin numbers overflow; such states are left
    def newton(self, y: Floats, iterations: int = _ITERATIONS) -> tuple[Floats, NDArray[np.bool_]]:
        """Where the iteration leads from states ``(count, state)``, and whether that is a root.

        Iterations that run off to where f only tends to 0 still take long steps at the end.
        """
        y = y.copy()
        f = self.table("rhs", y)
        size = np.abs(f).max(axis=1)
        damping, last = np.full(len(y), 1e-3), np.zeros(len(y))
        for _ in range(iterations):
            going = np.isfinite(size) & (size > _TIGHT * self.speed) & (damping < _STUCK)
            (going,) = np.nonzero(going)
            jacobian = self.jacobian(y[going])
            ok = np.isfinite(jacobian).all(axis=(1, 2))
            going, jacobian = going[ok], jacobian[ok]
            if len(going) == 0:
                break
            u, s, v = np.linalg.svd(jacobian)
            shift = s**2 + (damping[going] * s[:, 0] ** 2)[:, None]
            along = np.einsum("kji,kj->ki", u, f[going])
            along *= np.divide(s, shift, out=np.zeros_like(s), where=shift > 0)
            trial = y[going] - np.einsum("kij,ki->kj", v, along)
            slopes = self.table("rhs", trial)
            sizes = np.abs(slopes).max(axis=1)
            # in the same norm as that of the step's model, so that a small enough step succeeds
            better = np.linalg.norm(slopes, axis=1) < np.linalg.norm(f[going], axis=1)
            to = going[better]
            last[to] = np.linalg.norm(trial[better] - y[to], axis=1)
            y[to], f[to], size[to] = trial[better], slopes[better], sizes[better]
            damping[going] = np.maximum(damping[going] * np.where(better, 0.1, 8.0), 1e-15)
        settled = last <= SAME * (1 + np.abs(y).max(axis=1))
        return y, settled & (size <= RESIDUAL * self.speed)

    def roots(self, points: Floats) -> Floats:
        """Equilibria that the points lead to; coordinates that may as well be 0 are."""
        y, found = self.newton(points)
        y = y[found]
        rounded = np.where(np.abs(y) < _SMALL, 0.0, y)
        slopes = [np.abs(self.table("rhs", z)).max(axis=1, initial=0) for z in (y, rounded)]
        fit = slopes[1] <= np.maximum(slopes[0], 100 * _TIGHT * self.speed)
        return np.where(fit[:, None], rounded, y)

    def dimension(self, y: Floats) -> int:
        """Of the continuum of equilibria on which a state lies; 0 if it is isolated.

        Where continua meet, the directions that stay span all of them; so what is measured at the
        state is measured again at states further along, and the least counts: Newton's method
        likes to end at other places where continua meet.
        """
        rank = len(self._along(y, _PROBE)[0])
        if rank <= 1:
            return rank
        _, beside = self._along(y, 10 * _PROBE)
        ranks = [len(self._along(z, _PROBE / 10)[0]) for z in beside[:9]]
        return min([rank, *(r for r in ranks if r)])

    def _along(self, y: Floats, share: float) -> tuple[Floats, Floats]:
        """Where steps along null directions lead, ``(count, state)``, after its spread ``(k,)``."""
        _, s, v = np.linalg.svd(self.jacobian(y[None])[0])
        null = v[s <= self.small * len(y)]
        step = share * max(1.0, float(np.abs(y).max()))
        draws = np.random.default_rng(0).normal(size=(4 * len(null) + 4, len(null)))
        draws /= np.linalg.norm(draws, axis=1, keepdims=True) + np.finfo(float).tiny
        ends, found = self.newton(y + step * draws @ null)
        ends = ends[found & (np.linalg.norm(ends - y, axis=1) > _STAYED * step)]
        spread = np.linalg.svd(ends - y, compute_uv=False) / np.sqrt(max(1, len(ends)))
        return spread[spread > _STAYED * step], ends

    def joined(self, y: Floats, z: Floats) -> bool:
        """Whether equilibria lead from one state to the other, near the line between them."""
        shares = np.linspace(0.0, 1.0, 33)[:, None]
        line, found = self.newton(y + shares * (z - y), iterations=30)
        gaps = np.linalg.norm(np.diff(line, axis=0), axis=1)
        near = gaps <= np.linalg.norm(z - y) / 4
        return bool(np.all(found) and np.all(near))


def sobol_starts(count: int, box: Floats, spread: float) -> Floats:
    """The origin, then Sobol points in the box; every other one is spread beyond it if asked to."""
    from scipy.stats import qmc

    sobol = qmc.Sobol(len(box), scramble=True, rng=np.random.default_rng(0))
    unit = 2 * sobol.random_base2(int(np.ceil(np.log2(max(count, 2)))))[: count - 1] - 1
    if spread:
        unit[1::2] = np.sinh(spread * unit[1::2]) / spread
    return np.concatenate([np.zeros((1, len(box))), box * unit])


def distinct(roots: Floats) -> list[Floats]:
    """Roots, each once, by their distance from the origin."""
    kept: list[Floats] = []
    for y in roots[np.argsort(np.round(np.linalg.norm(roots, axis=1), 6), kind="stable")]:
        if not kept or np.abs(np.array(kept) - y).max(axis=1).min() > SAME * (1 + np.abs(y).max()):
            kept.append(y)
    return kept
