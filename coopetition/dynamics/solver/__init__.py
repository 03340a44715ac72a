"""From formulas to trajectories: sympy → LLVM → machine code → loop → trajectory.

1. `codegen` turns expressions into LLVM instructions, over the numbers of `arithmetic`: several
   trajectories side by side, or values with their derivatives.
2. `runge_kutta` emits one adaptive Dormand–Prince step; `llvm_module` a system's whole module, with
   its outputs, Jacobian and descent.
3. `compilation` compiles the module to machine code, a `CompiledODE`, and caches it on disk.
4. `loop` calls the step, takes samples and records how trajectories end.
5. `dopri5` integrates one start or many with it; `stiff` uses scipy's solvers.
"""
