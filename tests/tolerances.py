"""The tolerances of the tests, by what they stand for."""

FLOAT64 = 1e-12  # two ways of writing the same float64 arithmetic
FLOAT32 = 1e-5  # two float32 implementations of the same network
STANDARD_ERRORS = 4  # an estimate from random data, in its standard errors: fails 1 in 16,000
DIGITISED_FLIP = 0.011  # peak of a digitised flip curve: its error and the smoothing's
IMPROBABLE = 1e-4  # p-value below which a sampler, at its fixed seed, is wrong
