"""Array types. Element types are in the docstrings: OpenCV's stubs do not carry them through."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

ByteImage = NDArray[Any]
"""uint8."""
FloatImage = NDArray[Any]
"""float32."""
Matrix = NDArray[Any]
"""float64."""
