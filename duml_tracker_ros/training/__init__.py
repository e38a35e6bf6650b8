"""Training: data, assignment, losses, loop."""
