"""A rendered body and its shadow, put into a picture."""

from __future__ import annotations

import cv2

from .arrays import ByteImage


def blend(
    view: ByteImage,
    body: ByteImage,
    shadow: ByteImage,
    hidden: ByteImage | None,
    shade: ByteImage | None,
) -> ByteImage:
    """Put a rendered body and its shadow into `view` [h, w, 3], in place.

    hidden: what stands over it [h, w]; shade: how dark the ground is [h, w].
    Returns the body's alpha that is left visible.
    """
    alpha = body[..., 3]
    colour = body[..., :3]
    if shade is not None and shade.any():
        # A body in the shade is darkened like the ground; one already shaded casts no shadow.
        light = cv2.addWeighted(shade, -0.5, shade, 0.0, 255.0)
        colour = cv2.multiply(colour, cv2.merge([light] * 3), scale=1 / 255)
        shadow = cv2.subtract(shadow, shade)
    if hidden is not None and hidden.any():
        seen = cv2.bitwise_not(hidden)
        alpha = cv2.multiply(alpha, seen, scale=1 / 255)
        shadow = cv2.multiply(shadow, seen, scale=1 / 255)
        colour = cv2.multiply(colour, cv2.merge([seen] * 3), scale=1 / 255)
    dark = cv2.addWeighted(shadow, -0.5, shadow, 0.0, 255.0)
    keep = cv2.multiply(dark, cv2.bitwise_not(alpha), scale=1 / 255)
    view[:] = cv2.add(colour, cv2.multiply(view, cv2.merge([keep] * 3), scale=1 / 255))
    return alpha
