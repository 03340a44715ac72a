import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import LOGISTIC, drawn_vectors, full_gradient, full_losses, small_models
from scipy.integrate import odeint
from tolerances import (
    FINITE_DIFFERENCES,
    FLOAT32_TRACE,
    FLOAT32_TRANSITION,
    FLOAT32_UNSTABLE,
    FLOAT64,
    FLOW_OF_SMALL_STEPS,
    MODIFIED_FLOW,
    ROUNDING,
)

from coopetition.descent import descend, descend_tangents
from coopetition.integration import integrate, integrate_tangents
from coopetition.models import CATALOGUE, get
from coopetition.reduction import reduce
from coopetition.seeds import stream
from coopetition.starts import project, random_start
from coopetition.trajectory import Outcome

PAPER = get("coopetition")
LOSSES = ("total", "icl", "ciwl", "cost")
SEEDS = range(12)


def stop_step(start, mu1, below):
    run = descend(PAPER, start=start, parameters={"mu1": mu1}, stop_below=below, every=4000)
    return -1 if run.stopped_at is None else int(run.stopped_at)


@pytest.mark.parametrize("below", ["1e-6", "1e-3"])
def test_stopping_steps_are_exactly_those_of_the_published_code(
    toy_reference, reference_starts, below
):
    recorded = [int(toy_reference[f"seed{k:02}_mu1_0.1_stop_{below}"]) for k in SEEDS]
    assert [stop_step(start, 0.1, float(below)) for start in reference_starts] == recorded


def test_stopping_steps_are_those_printed_with_the_paper(reference_starts):
    printed = {1: 14482, 7: 9620, 8: 4244, 2: -1, 9: -1}
    for seed, step in printed.items():
        assert stop_step(reference_starts[seed], 0.1, 1e-6) == step


def test_without_a_floor_stopping_steps_agree_as_far_as_float32_goes(
    toy_reference, reference_starts
):
    for seed, start in enumerate(reference_starts):
        recorded = int(toy_reference[f"seed{seed:02}_mu1_0.0_stop_1e-3"])
        # 1 % in the loss is a little more in the time of a slow approach
        assert stop_step(start, 0.0, 1e-3) == pytest.approx(recorded, rel=2 * FLOAT32_UNSTABLE)
        assert stop_step(start, 0.0, 1e-6) == int(toy_reference[f"seed{seed:02}_mu1_0.0_stop_1e-6"])


def traces(toy_reference, start, seed, mu1):
    """Our losses and the recorded ones at the recorded steps, and our change a step."""
    run = descend(PAPER, start=start, parameters={"mu1": mu1})
    own = np.stack([run.output(name) for name in LOSSES], axis=-1)
    steps = toy_reference["steps"]
    recorded = toy_reference[f"seed{seed:02}_mu1_{mu1}_trace"].astype(np.float64)
    return own[steps], recorded, np.abs(np.gradient(own, axis=0))[steps]


def test_traces_agree_with_the_published_code_to_float32(toy_reference, reference_starts):
    assert toy_reference["columns"].tolist() == ["total", "mechanism_1", "mechanism_2", "cost"]
    plain = 0
    for seed, start in enumerate(reference_starts):
        own, recorded, change = traces(toy_reference, start, seed, 0.1)
        seen = recorded > 1e-6
        error = np.abs(own - recorded)
        # rounding shifts a sharp transition by a fraction of a step
        allowed = FLOAT32_TRACE * recorded + FLOAT32_TRANSITION * change
        # the cost starts small and grows out of rounding itself
        allowed[:, 3] += 20 * FLOAT32_TRACE * recorded[:, 3]
        assert np.all(error[seen] <= allowed[seen])
        plain += bool(np.all((error <= FLOAT32_TRACE * recorded)[:, 0][seen[:, 0]]))
    # only where transitions are sharpest does the shift show in the total at all
    assert plain >= 9


def test_traces_without_a_floor_agree_while_float32_is_stable(toy_reference, reference_starts):
    for seed, start in enumerate(reference_starts):
        own, recorded, _ = traces(toy_reference, start, seed, 0.0)
        low = own[:, 1] < 1e-4
        stable = int(np.argmax(low)) if low.any() else len(own)
        error = np.abs(own - recorded)[:stable]
        assert np.all(error <= FLOAT32_UNSTABLE * np.maximum(recorded[:stable], 1e-6))


def full_descent(model, vectors, targets, parameters, steps):
    """Float64 descent of every entry of the vectors; losses before each update."""
    vectors = {v: value.copy() for v, value in vectors.items()}
    losses = []
    for _ in range(steps):
        losses.append(list(full_losses(model, vectors, targets).values()))
        gradient = full_gradient(model, vectors, targets, parameters)
        for v in vectors:
            vectors[v] -= gradient[v]
    return vectors, np.array(losses)


@pytest.mark.parametrize("seed", [3, 8])
def test_descent_of_all_220_numbers_agrees_with_the_reduced_one(seed):
    steps = 400
    vectors, targets = drawn_vectors(PAPER, seed)
    final, losses = full_descent(PAPER, vectors, targets, PAPER.parameters, steps)
    run = descend(PAPER, start=project(PAPER, vectors, targets), until=steps)
    own = np.stack([run.output("icl"), run.output("ciwl")], axis=-1)[:steps]
    assert np.ptp(losses[:, 0]) > 0.05  # something happens
    assert own == pytest.approx(losses, rel=ROUNDING)
    assert run.states[-1] == pytest.approx(project(PAPER, final, targets).state, abs=ROUNDING)


def test_full_descent_through_icls_emergence_agrees(reference_vectors, reference_starts):
    # seed 8's ICL emerges within the first 400 steps
    final, losses = full_descent(PAPER, *reference_vectors[8], {**PAPER.parameters}, 400)
    run = descend(PAPER, start=reference_starts[8], until=400)
    assert losses[0, 0] > 0.4 > 0.1 > losses[-1, 0]
    assert run.output("icl")[:400] == pytest.approx(losses[:, 0], rel=ROUNDING)
    projected = project(PAPER, final, reference_vectors[8][1]).state
    assert run.states[-1] == pytest.approx(projected, abs=ROUNDING)


@settings(max_examples=3, deadline=None)
@given(model=small_models(), seed=st.integers(0, 1000))
def test_any_declared_model_descends_as_its_full_vectors_do(model, seed):
    vectors, targets = drawn_vectors(model, seed)
    vectors = {v: 0.3 * value for v, value in vectors.items()}
    moved, at = vectors, 0.02
    for _ in range(50):
        gradient = full_gradient(model, moved, targets, model.parameters)
        moved = {v: moved[v] - at * gradient[v] for v in moved}
    run = descend(model, start=project(model, vectors, targets), step_size=at, until=50 * at)
    expected = project(model, moved, targets).state
    # a rest has no sign, and in one dimension it is rounding alone
    assert run.states[-1][::2] == pytest.approx(expected[::2], abs=ROUNDING)
    assert np.abs(run.states[-1][1::2]) == pytest.approx(expected[1::2], abs=1e-7)


def flow_and_descent(start, step_size, form="flow", until=16000.0, **options):
    parameters = {"eta": step_size} if form == "modified" else {}
    flow = integrate(PAPER, start=start, form=form, parameters=parameters, until=until, **options)
    return flow, descend(PAPER, start=start, step_size=step_size, until=until, every=10)


@pytest.mark.parametrize("seed", [0, 7])
def test_the_flow_is_descent_of_small_steps(reference_starts, seed):
    flow, descent = flow_and_descent(reference_starts[seed], 0.1)
    states = flow(descent.times)
    outputs = flow.outputs_of(states)
    for name in LOSSES:
        assert outputs[name] == pytest.approx(descent.output(name), abs=FLOW_OF_SMALL_STEPS)


@pytest.mark.parametrize("seed", [0, 7, 8])
def test_the_modified_flow_is_descent_of_large_steps(reference_starts, seed):
    modified, descent = flow_and_descent(reference_starts[seed], 1.0, "modified")
    flow, _ = flow_and_descent(reference_starts[seed], 1.0)
    off = np.abs(flow(descent.times) - descent.states).max()
    bent = np.abs(modified(descent.times) - descent.states).max()
    assert bent < MODIFIED_FLOW
    assert 0.01 < off < 0.05
    assert bent < off / 5
    losses = flow.outputs_of(flow(descent.times))["total"], descent.output("total")
    relative = np.abs(losses[0] / losses[1] - 1)[losses[1] > 1e-6]
    assert 0.01 < relative.max() < 0.1


def test_descent_converges_to_the_flow_once_and_to_the_modified_flow_twice():
    start = random_start(PAPER, stream(1, "tests"))
    tight = {"until": 3000.0, "rtol": 1e-11, "atol": 1e-13}
    steps = np.array([1.0, 0.5, 0.25, 0.125])
    for form, order in (("flow", 1), ("modified", 2)):
        errors = []
        for step in steps:
            flow, descent = flow_and_descent(start, step, form, **tight)
            errors.append(np.abs(flow.states[-1] - descent.states[-1]).max())
        assert np.polyfit(np.log(steps), np.log(errors), 1)[0] == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_model_descends_by_its_own_right_hand_side(name):
    ode, start = reduce(get(name)), random_start(get(name), stream(2, "tests"))
    run = descend(get(name), start=start, step_size=0.5, until=20.0)
    rhs = sp.lambdify((*ode.state, *ode.parameters), list(ode.rhs), "math", cse=True)
    y, p = start.state.copy(), [run.parameters[n] for n in ode.parameter_names]
    for _ in range(40):
        y = y + 0.5 * np.array(rhs(*y, *p))
    assert run.states[-1] == pytest.approx(y, abs=FLOAT64)
    assert run.times == pytest.approx(np.arange(41) * 0.5)


def test_stopping_is_before_the_update_and_does_not_depend_on_what_is_kept():
    start = random_start(PAPER, stream(0, "tests"))
    whole = descend(PAPER, start=start)
    below = float(whole.output("total")[2345]) * (1 + 1e-12)
    for every in (1, 7, 1000, 10**6):
        run = descend(PAPER, start=start, stop_below=below, every=every)
        assert run.outcome is Outcome.STOPPED
        assert run.stopped_at == run.steps == run.times[-1] == 2345
        assert np.array_equal(run.states[-1], whole.states[2345])
    # also at the very last step, and at the first
    last = float(whole.output("total")[-1]) * (1 + 1e-12)
    assert descend(PAPER, start=start, stop_below=last).stopped_at == 16000
    first = float(whole.output("total")[0]) * 1.01
    assert descend(PAPER, start=start, stop_below=first).stopped_at == 0
    assert descend(PAPER, start=start, stop_below=last / 2).stopped_at is None


def test_kept_steps_are_every_so_many_and_the_last():
    run = descend(PAPER, until=25, every=10)
    assert run.times.tolist() == [0, 10, 20, 25]
    assert run.reached == run.horizon == 25


def test_divergence_is_a_stated_outcome_with_the_states_before_it():
    run = descend(PAPER, step_size=500.0, until=1e6)
    assert run.outcome is Outcome.NOT_FINITE
    assert np.all(np.isfinite(run.states))
    assert run.reached == run.times[-1] < 1e6
    assert "smaller step size" in run.summary()
    tangents = descend_tangents(
        PAPER, steps=[0, 10, 2000], step_size=500.0, start=run.states[0],
        start_tangents=np.eye(8), parameters=list(run.parameters.values()),
        parameter_tangents=np.zeros((len(run.parameters), 8)),
    )  # fmt: skip
    assert tangents.outcome is Outcome.NOT_FINITE
    assert np.isfinite(tangents.states[0]).all()
    assert np.isnan(tangents.states[-1]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step_size": 0.0}, "step_size must be positive, not 0.0"),
        ({"step_size": float("nan")}, "step_size must be positive"),
        ({"until": -1.0}, "until must be a positive time, not -1.0"),
        ({"every": 0}, "every must be at least 1, not 0"),
        ({"stop_below": -1e-6}, "stop_below must be a positive loss, not -1e-06"),
        ({"parameters": {"alfa": 0.1}}, "did you mean 'alpha'"),
    ],
)
def test_a_bad_argument_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        descend(PAPER, **change)


# ---- sensitivities of flow and descent -------------------------------------------------------


def directions(model, seed=0, *, each=False):
    """A start and parameters with tangents: 8 random ones, or each state and parameter in turn."""
    ode = reduce(model)
    rng = stream(seed, "tangents")
    start = random_start(model, rng)
    p = np.array([{**ode.defaults, **start.parameters}[n] for n in ode.parameter_names])
    states, parameters = len(start.state), len(p)
    along = np.eye(states + parameters) if each else rng.normal(size=(states + parameters, 8))
    return {
        "start": start.state,
        "start_tangents": along[:states],
        "parameters": p,
        "parameter_tangents": along[states:],
    }


def by_differences(run, given, h=1e-5):
    """Central differences of ``run(start, parameters)`` along every direction."""
    columns = []
    for dy, dp in zip(given["start_tangents"].T, given["parameter_tangents"].T, strict=True):
        ends = [
            run(given["start"] + sign * h * dy, given["parameters"] + sign * h * dp)
            for sign in (1, -1)
        ]
        columns.append((ends[0] - ends[1]) / (2 * h))
    return np.stack(columns, axis=-1)


def interior(given):
    """The same off the parameters' bound 0, so that differences can be taken on both sides."""
    return {**given, "parameters": np.maximum(given["parameters"], 0.05)}


def assert_close(found, expected, relative):
    for k in range(expected.shape[-1]):
        scale = np.abs(expected[..., k]).max()
        assert np.abs(found[..., k] - expected[..., k]).max() <= relative * scale + FLOAT64


@pytest.mark.parametrize("name", CATALOGUE)
def test_tangents_of_descent_are_finite_differences(name):
    model = get(name)
    given, names = interior(directions(model)), reduce(model).parameter_names

    def run(start, parameters):
        return descend(
            model, start=start, parameters=dict(zip(names, parameters, strict=True)), until=300,
            every=100,
        ).states  # fmt: skip

    tangents = descend_tangents(model, steps=[0, 100, 200, 300], **given)
    assert tangents.outcome is Outcome.REACHED
    assert tangents.states == pytest.approx(run(given["start"], given["parameters"]), abs=1e-13)
    assert_close(tangents.tangents, by_differences(run, given), 20 * FINITE_DIFFERENCES)


@pytest.mark.parametrize(
    ("name", "form"), [*((name, "flow") for name in CATALOGUE), ("coopetition", "modified")]
)
def test_tangents_of_flows_are_finite_differences(name, form):
    model = get(name)
    given, names = interior(directions(model)), reduce(model).parameter_names
    if form == "modified":
        names = (*names, "eta")
        given["parameters"] = np.append(given["parameters"], 1.0)
        given["parameter_tangents"] = np.vstack([given["parameter_tangents"], np.full((1, 8), 0.3)])
    times = np.array([0.0, 100.0, 300.0])
    tight = {"rtol": 1e-12, "atol": 1e-14}

    def run(start, parameters):
        return integrate(
            model, start=start, parameters=dict(zip(names, parameters, strict=True)), until=300.0,
            times=times, form=form, **tight,
        ).states  # fmt: skip

    tangents = integrate_tangents(model, times=times, form=form, **tight, **given)
    assert tangents.states == pytest.approx(run(given["start"], given["parameters"]), abs=1e-11)
    assert_close(tangents.tangents, by_differences(run, given), 20 * FINITE_DIFFERENCES)


@pytest.mark.parametrize("name", ["coopetition", "decay"])
def test_tangents_solve_the_sensitivity_equations(name):
    model = get(name)
    ode, given = reduce(model), directions(model, seed=4, each=name == "coopetition")
    symbols = (*ode.state, *ode.parameters)
    expressions = [list(ode.rhs), ode.jacobian, ode.parameter_derivatives]
    functions = sp.lambdify(symbols, expressions, "numpy", cse=True)
    states = len(ode.state)

    def slopes(z, _):
        y, s = z[:states], z[states:].reshape(states, -1)
        f, jacobian, by_parameter = functions(*y, *given["parameters"])
        s_dot = jacobian @ s + by_parameter @ given["parameter_tangents"]
        return np.concatenate([f, s_dot.ravel()])

    times = np.array([0.0, 500.0, 1000.0])
    start = np.concatenate([given["start"], given["start_tangents"].ravel()])
    exact = odeint(slopes, start, times, rtol=1e-11, atol=1e-12)
    tangents = integrate_tangents(model, times=times, rtol=1e-10, atol=1e-12, **given)
    expected = exact[:, states:].reshape(len(times), states, -1)
    assert_close(tangents.tangents, expected, 10 * FINITE_DIFFERENCES)


def test_tangents_of_the_logistic_equation_are_its_closed_form():
    times = np.linspace(0, 20.0, 5)
    run = integrate_tangents(
        LOGISTIC.ode, times=times, start=[0.1], start_tangents=[[1.0, 0.0, 0.0]],
        parameters=[0.5, 3.0], parameter_tangents=[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    # y = k y0 e/(k + y0 (e − 1)), e = exp(r t)
    e, k, y0 = np.exp(0.5 * times), 3.0, 0.1
    below = k + y0 * (e - 1)
    by_start = k * e * (below - y0 * (e - 1)) / below**2
    by_rate = k * y0 * times * e * (below - y0 * e) / below**2
    by_capacity = y0 * e * (below - k) / below**2
    expected = np.stack([by_start, by_rate, by_capacity], axis=-1)
    assert run.tangents[:, 0, :] == pytest.approx(expected, abs=1e-7)


def test_any_number_of_directions_is_exact():
    given = directions(PAPER, each=True)
    whole = integrate_tangents(PAPER, times=[200.0], **given).tangents
    for k in (0, 1, 7, 9):
        part = integrate_tangents(
            PAPER,
            times=[200.0],
            **{**given, "start_tangents": given["start_tangents"][:, :k],
               "parameter_tangents": given["parameter_tangents"][:, :k]},
        ).tangents  # fmt: skip
        assert part.shape == (1, 8, k)
        assert part == pytest.approx(whole[..., :k], rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("verb", [integrate_tangents, descend_tangents])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start": np.zeros(7)}, r"start must have shape \(8,\)"),
        ({"start_tangents": np.zeros((8, 3))}, "with the same k"),
        ({"parameter_tangents": np.zeros(3)}, r"shapes \(state, k\)"),
        ({"parameters": np.full(11, np.nan)}, "parameters and its tangents must be finite"),
    ],
)
def test_shapes_of_tangents_that_do_not_fit_are_named(verb, change, message):
    when = {"times": [1.0]} if verb is integrate_tangents else {"steps": [1]}
    with pytest.raises(ValueError, match=message):
        verb(PAPER, **when, **{**directions(PAPER), **change})


def test_steps_of_tangents_must_increase():
    with pytest.raises(ValueError, match="steps must be increasing"):
        descend_tangents(PAPER, steps=[3, 2], **directions(PAPER))
    with pytest.raises(ValueError, match="step_size must be positive"):
        descend_tangents(PAPER, steps=[1], step_size=-1.0, **directions(PAPER))
