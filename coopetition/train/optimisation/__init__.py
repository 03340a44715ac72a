"""How the loss is brought down: losses, decay, schedules, the optimisers."""
