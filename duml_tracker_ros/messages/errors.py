"""What is wrong with a message."""


class CodecError(ValueError):
    """A message is no image that can be used; the text names the field and the value."""
