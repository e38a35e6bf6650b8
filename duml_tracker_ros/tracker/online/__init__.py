"""Online learning: filters as matrix products, problems, solvers, memory, update policy."""
