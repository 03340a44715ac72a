"""The memory of a generated step: where the controls, parameters, state and interpolant lie.

One flat array of doubles passes between the loop (`stepping`) and the step (`runge_kutta`).
"""

from __future__ import annotations

import dataclasses

CONTROLS = (
    "time",
    "step",  # size of the next step
    "end",  # where the trajectory ends
    "stop",  # time from which on the loop wants to look
    "error_old",
    "smallest_step",
    "rtol",
    "atol",
    "steps",
    "steps_limit",
    "time_old",  # the last accepted step: where it began
    "step_old",  # and its size
    "fresh",  # 1 where a new trajectory was put
)
DENSE_ROWS = 5


@dataclasses.dataclass(frozen=True)
class Workspace:
    """Where the parts of a step's memory lie, in doubles.

    ``CONTROLS`` take ``lanes`` doubles each; then follow the parameters, the state, its derivative
    and the five coefficient rows of the interpolant, ``size`` doubles a number.
    """

    lanes: int
    size: int
    states: int
    parameters: int

    def control(self, name: str) -> int:
        """Where a control's lanes begin."""
        return CONTROLS.index(name) * self.lanes

    @property
    def p(self) -> int:
        """Where the parameters begin."""
        return len(CONTROLS) * self.lanes

    @property
    def y(self) -> int:
        """Where the state begins."""
        return self.p + self.parameters * self.size

    @property
    def slope(self) -> int:
        """Where dy/dt at the state begins."""
        return self.y + self.states * self.size

    @property
    def dense(self) -> int:
        """Where the interpolant's rows begin."""
        return self.slope + self.states * self.size

    @property
    def length(self) -> int:
        """Doubles in all."""
        return self.dense + DENSE_ROWS * self.states * self.size
