"""Small dynamical systems in symbols: declare, reduce, integrate, observe.

`model` declares one and `catalogue` holds those that ship; `reduction` makes the exact ordinary
differential equations, `integration` and `descent` solve them by the machine code of `solver`,
`readout` reads accuracies off a trajectory, `phase` maps outcomes over parameters.
"""
