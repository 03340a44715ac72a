"""The tolerances of the tests, by what they stand for."""

FLOAT64 = 1e-12  # two ways of writing the same float64 arithmetic
FLOAT32 = 1e-5  # two float32 implementations of the same network
STANDARD_ERRORS = 4  # an estimate from random data, in its standard errors: fails 1 in 16,000
DIGITISED_FLIP = 0.011  # peak of a digitised flip curve: its error and the smoothing's
IMPROBABLE = 1e-4  # p-value below which a sampler, at its fixed seed, is wrong
ROUNDING = 1e-9  # float64 summed over long products and a few hundred steps, relative
FINITE_DIFFERENCES = 1e-6  # central differences of smooth functions, relative to the largest
CONSERVED = 1e-8  # drift of a conserved quantity along a trajectory, relative
FLOAT32_TRACE = 1e-4  # losses of the published code, which computes in float32, relative
FLOAT32_TRANSITION = 0.2  # steps by which float32 rounding shifts its sharp transitions
FLOAT32_UNSTABLE = 0.01  # its losses at mu1 = 0, relative, until ICL's loss is 1e-4
FLOW_OF_SMALL_STEPS = 2e-3  # losses of the flow and of descent of step 0.1
MODIFIED_FLOW = 5e-3  # states of the modified flow and of descent of step 1, along the whole run
LIFETIME = 0.12  # medians over twelve starts of the published lifetimes, given to two digits
TOLERANCE_UNITS = 10  # error along a trajectory, in units of the tolerance of one step
RECOVERY = 0.01  # parameters fitted to a model's own curves, relative
SAME_CURVE = 1e-6  # accuracies of two parameter sets that an exact symmetry joins
GRADIENT = 1e-4  # gradients of two float32 implementations, relative to each parameter's norm
WRITTEN_GRADIENT = 5e-6  # written-out and automatic gradients of one network, likewise
ADAM_LOSS = 1e-4  # losses of eight Adam steps in two float32 implementations
EXPONENTIAL = 3e-7  # the vectorised exponential, relative: about two roundings
LOCATED = 1e-6  # times of events located on an interpolant, relative
BATCH_ACCURACY = 1e-3  # accuracies of a batch at loose tolerance and of one tight trajectory
DRAWS = 0.15  # means and deviations over a few thousand correlated draws, in deviations
GRID_LANDMARK = 0.02  # landmarks between grid points of a smooth curve, relative to its span
DATA_ERROR = 0.02  # shares of variance measured on a few thousand sequences
SOFTER = 0.04  # what a soft match explains beyond the sharp one, of the variance, at spread 1
BFLOAT16 = 0.05  # losses of twenty steps whose products are in bfloat16 (8 bits), and in float32
GPU_LOSS = 2e-3  # losses along 200 Adam steps whose sums are taken in another order
TF32 = 5e-3  # losses of twenty steps whose products are in TF32 (10 bits), and in float32
FUSED_ADAM = 1e-4  # losses, weights, and moments relative to their largest, after fused steps
FUSED_TF32 = 5e-3  # gradients with TF32 products, relative to each parameter's norm
FUSED_RATE = 2e-7  # learning rates and bias corrections rounded to float32, relative
OTHER_STEPS = 1e-9  # sensitivities of one trajectory cut into other steps, at the default tolerance
FIFTH_DECIMAL = 1e-4  # a value whose digits after the fourth decimal were cut off
PLATEAU_BIAS = 0.015  # what is left of the noise in a plateau's height, at 500 sequences
