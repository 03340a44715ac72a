"""How a training step is computed: written-out passes on a CPU, PyTorch or Triton on a GPU."""
