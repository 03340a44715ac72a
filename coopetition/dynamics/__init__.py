"""Small dynamical systems in symbols: declare, reduce, integrate, observe.

The path, in order:

1. `model` declares strategies, costs and decay; `catalogue` holds the models that ship.
2. `reduction` makes the exact ordinary differential equations; `equations` prints them.
3. `starts` draws, reads or projects a start; `arguments` checks the caller's arguments.
4. `integration` and `descent` solve with the machine code of `solver` and return a `trajectory`.
5. `readout` turns strengths into accuracies and losses, `observation` a trajectory into curves;
   `events` finds when ICL emerges and vanishes along it, `phase` maps verdicts over parameters.
6. `equilibria` says where a system rests and whether it stays there, by `newton`.
"""
