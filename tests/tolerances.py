"""The tolerances of the tests, by what they stand for."""

FLOAT64 = 1e-12  # two ways of writing the same float64 arithmetic
FLOAT32 = 1e-5  # two float32 implementations of the same network
