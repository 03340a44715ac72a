"""What a map's runs cannot teach because they differ in nothing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

ADD = (
    "add runs that differ in what you may change (match_probability, n_classes, n_exemplars, "
    "spread), and some that differ in their seed only; published:* and cpu:* ship with the package"
)


def too_alike(
    names: Sequence[str], combinations: Sequence[Hashable], own: float
) -> tuple[str, ...]:
    """A sentence where effects of settings come from priors alone, and what to add.

    Parameters
    ----------
    names
        Of the runs.
    combinations
        What each has in common with runs that differ in their seed only.
    own
        Share that the runs have in the estimate of how much runs differ; the rest is believed.

    Examples
    --------
    >>> too_alike(["a", "b"], [1, 2], 0.2)
    ()
    >>> too_alike(["mine"], [1], 0.1)[0].split(":")[0]
    'only one run (mine)'
    """
    if len(set(combinations)) > 1:
        return ()
    if len(names) > 1:
        who = f"the {len(names)} runs differ in no setting that the map knows"
        spread = f"the spread between runs is {100 * (1 - own):.0f} % the one believed beforehand"
    else:
        who = f"only one run ({names[0]})" if names else "no run"
        spread = "the spread between runs is the one believed beforehand"
    return (f"{who}: effects of settings come from priors alone, and {spread}; {ADD}",)
