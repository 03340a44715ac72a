"""How a formula becomes a trajectory: sympy → LLVM → machine code → loop → trajectory.

1. `codegen` turns expressions into LLVM instructions, over the numbers of `arithmetic`: several
   trajectories side by side, or values with their derivatives.
2. `runge_kutta` writes one adaptive Dormand–Prince step; `llvm_module` puts the whole module of a
   system together, with its outputs, Jacobian and descent.
3. `compilation` makes machine code of it and keeps that on disk: `CompiledODE`.
4. `loop` drives the step: samples, statuses, the memory that both share.
5. `dopri5` makes trajectories of it, for one start or many; `stiff` those of scipy's solvers.
"""
