"""Training on a GPU without the host in the loop, and how much memory it takes."""
