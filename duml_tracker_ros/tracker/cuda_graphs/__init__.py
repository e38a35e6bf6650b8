"""Fixed-shape work recorded once and replayed as one launch (CUDA graphs)."""
