"""Training from scratch: data, assignment, losses, and the loop."""
