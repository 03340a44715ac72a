"""A run on disk: its folder, tables, checkpoints, and whose it is."""
