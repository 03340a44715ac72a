import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import FUNCTIONS, drawn_vectors, own_ode, small_models
from tolerances import FINITE_DIFFERENCES, FLOAT64

from coopetition.dynamics.catalogue import CATALOGUE, get
from coopetition.dynamics.reduction import reduce
from coopetition.dynamics.solver.arithmetic import Arithmetic
from coopetition.dynamics.solver.compilation import compile_ode
from coopetition.dynamics.starts import project
from coopetition.errors import ModelError

CASES = [*((name, "flow") for name in CATALOGUE), ("coopetition", "modified")]


def table(ode, name, states, parameters):
    """A generated function at rows of states, each with its own parameters or all with the same."""
    states, parameters = np.ascontiguousarray(states), np.ascontiguousarray(parameters)
    width = {"rhs": 1, "outputs": 0, "jacobian": len(ode.state_names)}[name]
    out = np.empty((len(states), width * len(ode.state_names) or len(ode.output_names)))
    stride = parameters.shape[1] if parameters.ndim == 2 else 0
    ode.functions[name](
        len(states), states.ctypes.data, parameters.ctypes.data, stride, out.ctypes.data
    )
    return out


def draw_points(ode, count, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(count, len(ode.state_names))),
        rng.uniform(0.3, 3.0, size=(count, len(ode.parameter_names))),
    )


def central_differences(function, at, h=1e-6):
    """Columns of derivatives of a function of a vector."""
    columns = []
    for j in range(len(at)):
        step = np.zeros(len(at))
        step[j] = h
        columns.append((function(at + step) - function(at - step)) / (2 * h))
    return np.stack(columns, axis=-1)


def assert_close(result, expected, relative):
    assert np.abs(result - expected).max() <= relative * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", CATALOGUE)
def test_generated_functions_are_the_symbolic_ones(name):
    symbolic, ode = reduce(get(name)), compile_ode(get(name))
    symbols = (*symbolic.state, *symbolic.parameters)
    expressions = [*symbolic.rhs, *symbolic.outputs.values(), *symbolic.jacobian]
    exact = sp.lambdify(symbols, expressions, "numpy", cse=True)
    states, parameters = draw_points(ode, 4)
    made = np.hstack([table(ode, kind, states, parameters)
                      for kind in ("rhs", "outputs", "jacobian")])  # fmt: skip
    for row, y, p in zip(made, states, parameters, strict=True):
        assert_close(row, np.array(exact(*y, *p), dtype=float), 10 * FLOAT64)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_generated_jacobian_is_the_finite_difference_of_the_generated_right_hand_side(name, form):
    ode = compile_ode(get(name), form=form)
    states, parameters = draw_points(ode, 2, seed=3)
    jacobians = table(ode, "jacobian", states, parameters)
    for y, p, jacobian in zip(states, parameters, jacobians, strict=True):
        expected = central_differences(lambda at, p=p: table(ode, "rhs", at[None], p)[0], y)
        assert_close(jacobian.reshape(expected.shape), expected, FINITE_DIFFERENCES)


@pytest.mark.parametrize("name", CATALOGUE)
def test_parameter_derivatives_are_finite_differences(name):
    symbolic, ode = reduce(get(name)), compile_ode(get(name))
    exact = sp.lambdify(
        (*symbolic.state, *symbolic.parameters), symbolic.parameter_derivatives, "numpy", cse=True
    )
    states, parameters = draw_points(ode, 2, seed=5)
    for y, p in zip(states, parameters, strict=True):
        expected = central_differences(lambda at, y=y: table(ode, "rhs", y[None], at)[0], p)
        assert_close(np.array(exact(*y, *p), dtype=float), expected, FINITE_DIFFERENCES)


@settings(max_examples=4, deadline=None, derandomize=True)  # the same models: cached code
@given(model=small_models(), seed=st.integers(0, 1000))
def test_any_declared_model_gets_a_jacobian_equal_to_the_symbolic_one(model, seed):
    symbolic, ode = reduce(model), compile_ode(model)
    start = project(model, *drawn_vectors(model, seed))
    p = np.array([{**ode.defaults, **start.parameters}[n] for n in ode.parameter_names])
    symbols = (*symbolic.state, *symbolic.parameters)
    exact = sp.lambdify(symbols, symbolic.jacobian, "numpy")
    expected = np.array(exact(*start.state, *p), dtype=float)
    made = table(ode, "jacobian", start.state[None], p)[0].reshape(expected.shape)
    assert_close(made, expected, 10 * FLOAT64)
    differences = central_differences(lambda at: table(ode, "rhs", at[None], p)[0], start.state)
    assert_close(made, differences, FINITE_DIFFERENCES)


def test_functions_powers_and_constants_are_generated_with_their_derivatives():
    ode = compile_ode(FUNCTIONS.ode)
    y = np.array([0.3, 0.7, 1.7, 0.9, 1.1, 2.3])
    e, s, g, c, i, h = y
    expected = [np.exp(-e), np.sqrt(s), -g * np.log(g), c ** (1 / 3), np.pi / i**2, h**-1.5]
    assert_close(table(ode, "rhs", y[None], np.zeros(0))[0], np.array(expected), FLOAT64)
    slopes = [-np.exp(-e), 0.5 / np.sqrt(s), -np.log(g) - 1, c ** (-2 / 3) / 3, -2 * np.pi / i**3]
    slopes.append(-1.5 * h**-2.5)
    jacobian = table(ode, "jacobian", y[None], np.zeros(0))[0].reshape(6, 6)
    assert_close(jacobian, np.diag(slopes), FLOAT64)


def test_rows_share_parameters_or_have_their_own():
    ode = compile_ode(get("coopetition"))
    states, parameters = draw_points(ode, 3)
    own = table(ode, "outputs", states, parameters)
    for k in range(3):
        shared = table(ode, "outputs", states, parameters[k])
        assert np.array_equal(shared[k], own[k])
        assert not np.array_equal(shared[k - 1], own[k - 1])


def test_outputs_over_dual_numbers_carry_exact_derivatives():
    ode = compile_ode(get("coopetition"), Arithmetic(directions=8))
    plain = compile_ode(get("coopetition"))
    states, parameters = draw_points(plain, 1)
    y, p = np.zeros((8, 9)), np.zeros((len(plain.parameter_names), 9))
    y[:, 0], p[:, 0] = states[0], parameters[0]
    y[:, 1:] = np.eye(8)
    out = np.empty((len(ode.output_names), 9))
    ode.functions["outputs"](1, y.ctypes.data, p.ctypes.data, 0, out.ctypes.data)
    assert_close(out[:, 0], table(plain, "outputs", states, parameters)[0], FLOAT64)
    expected = central_differences(
        lambda at: table(plain, "outputs", at[None], parameters[0])[0], states[0]
    )
    assert_close(out[:, 1:], expected, FINITE_DIFFERENCES)


def test_a_function_without_code_is_named():
    with pytest.raises(ModelError, match="sin"):
        compile_ode(own_ode("sine", {"y": "sin(y)"}, {}))


def test_names_and_defaults_come_with_the_code():
    ode = compile_ode(get("coopetition"))
    assert ode.state_names == ("x_a", "y_a", "x_b", "y_b", "x_c", "y_c", "x_d", "y_d")
    assert ode.parameter_names[:4] == ("alpha", "mu1", "mu2", "n_a")
    assert ode.defaults["n_d"] == 160
    assert ode.signs["alpha"] == "nonnegative"
    assert ode.signs["n_a"] == "positive"
    assert compile_ode(own_ode("free", {"y": "k*y"}, {"k": -1.0})).signs["k"] == "any"


def test_subnormal_numbers_are_zero_between_flush_and_restore_only():
    ode = compile_ode(get("coopetition"))
    tiny = np.full(8, 2.0**-1030)
    mode = ode.functions["flush"](0)
    flushed = np.multiply(tiny, 0.5)
    ode.functions["restore"](mode)
    assert np.all(np.multiply(tiny, 0.5) == 2.0**-1031)
    # elsewhere than on x86 there is no mode to switch
    assert np.all(flushed == 0) or mode == 0
