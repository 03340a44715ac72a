"""Exact descent against the published code, the full vectors and the flows it follows."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import drawn_vectors, full_gradient, full_losses, small_models
from tolerances import (
    FLOAT32_TRACE,
    FLOAT32_TRANSITION,
    FLOAT32_UNSTABLE,
    FLOAT64,
    FLOW_OF_SMALL_STEPS,
    MODIFIED_FLOW,
    ROUNDING,
)

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.descent import descend, descend_sensitivities
from coopetition.dynamics.integration import integrate
from coopetition.dynamics.reduction import reduce
from coopetition.dynamics.starts import project, random_start
from coopetition.dynamics.trajectory import Status
from coopetition.seeds import stream

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


@settings(max_examples=4, deadline=None, derandomize=True)  # the same models: cached code
@given(model=small_models(), seed=st.integers(0, 1000))
def test_any_declared_model_descends_as_its_full_vectors_do(model, seed):
    vectors, targets = drawn_vectors(model, seed)
    # within the unit box no product of losses is so steep that descent diverges
    vectors, targets = ({v: np.tanh(x) for v, x in some.items()} for some in (vectors, targets))
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
    second_order = np.abs(modified(descent.times) - descent.states).max()
    assert second_order < MODIFIED_FLOW
    assert 0.01 < off < 0.05
    assert second_order < off / 5
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
        assert run.status is Status.STOPPED
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
    assert run.status is Status.NOT_FINITE
    assert np.all(np.isfinite(run.states))
    assert run.reached == run.times[-1] < 1e6
    assert "smaller step size" in run.summary()
    sensitivities = descend_sensitivities(
        PAPER, steps=[0, 10, 2000], step_size=500.0, start=run.states[0],
        start_sensitivities=np.eye(8), parameters=list(run.parameters.values()),
        parameter_sensitivities=np.zeros((len(run.parameters), 8)),
    )  # fmt: skip
    assert sensitivities.status is Status.NOT_FINITE
    assert np.isfinite(sensitivities.states[0]).all()
    assert np.isnan(sensitivities.states[-1]).all()


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


def test_more_states_than_fit_are_refused_before_the_first_step() -> None:
    with pytest.raises(ValueError, match=r"59\.6 GiB; keep every 60th or fewer") as caught:
        descend(PAPER, until=1e9)
    with pytest.raises(ValueError, match="every = 59: of 1,000,000,000 steps"):
        descend(PAPER, until=1e9, every=59)
    assert "\n" not in str(caught.value)
    thinned = descend(PAPER, until=1e5, every=1000)
    assert len(thinned.times) == 101
