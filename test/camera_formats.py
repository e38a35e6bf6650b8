"""Images uint8 [H, W, 3] BGR as the rows of messages that cameras send, uint8 [N, M]."""

import cv2
import numpy as np


def nv12(bgr):
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    height, width = bgr.shape[:2]
    chroma = planes[height:].reshape(2, height // 2, width // 2)
    return np.concatenate([planes[:height], np.stack(chroma, -1).reshape(height // 2, width)])


def yuyv(bgr):
    height, width = bgr.shape[:2]
    planes = nv12(bgr)
    rows = np.empty((height, width, 2), np.uint8)
    rows[..., 0] = planes[:height]
    rows[..., 1] = np.repeat(planes[height:], 2, 0)
    return rows.reshape(height, -1)


def bayer(bgr):
    mosaic = bgr[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = bgr[::2, ::2, 2], bgr[1::2, 1::2, 0]
    return mosaic


def thermal(bgr):
    """Numbers of 14 bits, the largest byte first."""
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.uint16) * 20 + 5000
    return grey.astype(">u2").view(np.uint8).reshape(len(bgr), -1)
