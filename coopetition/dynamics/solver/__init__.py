"""From symbols to machine code to trajectories."""
