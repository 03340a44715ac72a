"""Small dynamical systems in symbols: declare, reduce, integrate, observe.

The path, in order:

1. `model` declares strategies, costs and decay; `catalogue` holds the models that ship.
2. `reduction` makes the exact ordinary differential equations; `equations` prints them.
3. `starts` draws, reads or projects where to begin; `arguments` checks what the caller gave.
4. `integration` and `descent` solve, by the machine code of `solver`, and give a `trajectory`.
5. `readout` reads accuracies and losses off a trajectory, `events` says when ICL emerges and
   vanishes along it, `phase` maps verdicts over parameters.
"""
