"""Declare a theory of one's own, look at its equations, integrate it.

What if the label circuit of CIWL were its own, while both strategies still shared how they find the
query's class (b) and competed for capacity? A declaration of seven lines answers.
"""

from coopetition import Cost, Model, Strategy, integrate, reduce


def main() -> None:
    """Print the equations, then how both strategies fare."""
    model = Model(
        name="one-shared-circuit",
        strategies=(Strategy("icl", ("a", "b", "c"), floor="mu1"), Strategy("ciwl", ("d", "b"))),
        dimensions={"a": 20, "b": 20, "c": 20, "d": 160},
        costs=(Cost(("a", "d"), weight="alpha"),),
        parameters={"alpha": 0.1, "mu1": 0.1},
    )

    ode = reduce(model)
    print("loss =", ode.loss)
    for state, slope in zip(ode.state, ode.rhs, strict=True):
        print(f"d{state}/dt =", slope)
    print("conserved:", *ode.conserved or ["nothing"])

    trajectory = integrate(model, until=16000.0).require()
    print(trajectory.summary())
    icl = trajectory.output("icl_strength")
    peak = icl.argmax()
    print(f"ICL peaks at {icl[peak]:.2f}, at time {trajectory.times[peak]:.0f}")


if __name__ == "__main__":
    main()
