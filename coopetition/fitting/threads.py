"""One thread for small linear algebra, so that starts can share the cores instead.

Matrices of a fit are some hundred rows by a dozen columns: splitting one over threads costs more
than it saves, and many such splits at once, on a busy machine, cost ten times as much.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any


def one_blas_thread() -> AbstractContextManager[Any]:
    """A context in which BLAS and LAPACK use one thread; what was set before returns after it."""
    # scipy brings a BLAS of its own: only what is loaded by now can be limited
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(limits=1, user_api="blas")
    return limits
