"""What is raised for training data."""


class DataError(ValueError):
    """Training data that cannot be used; the message names the path and the remedy."""
