"""What a network is measured on and by, and what the data allow before training."""
