"""Names of evaluators: ours, and those the reference gives the same measurements."""

from __future__ import annotations

from .curve import EVALUATORS

# the reference's names of the evaluators, as they stand in its log.h5 and in its W&B runs
REFERENCE_EVALUATORS = {
    "train_eval": "train",
    "icl": "icl",
    "iwl_copy_avail": "ciwl",
    "flip_icl": "flip",
    "pure_iwl": "iwl",
}
EVALUATOR_NAMES = {**{name: name for name in EVALUATORS}, **REFERENCE_EVALUATORS}


def known_evaluator(name: str) -> str:
    """Our name of an evaluator written in capitals or as the reference does; others unchanged."""
    return EVALUATOR_NAMES.get(name.strip().lower(), name.strip())


def lasting_evaluator(name: str) -> str:
    """An evaluator's name, if a log that holds it is read back under the same.

    Raises
    ------
    ValueError
        If it would be read as another: as a standard one, or without the blanks around it.
    """
    if known_evaluator(name) != name:
        raise ValueError(
            f"evaluator {name!r} would be read back as {known_evaluator(name)!r}: rename it"
        )
    return name
