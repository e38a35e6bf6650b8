"""A window to look at frames and to draw the target's box.

It is made with tkinter, which comes with Python: the OpenCV wheels for servers have no windows.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..pixels import Box
from .common import CliError

Image = NDArray[np.uint8]

HELP = "Drag a box around the target.  Enter: take it   Esc: leave"


class PictureWindow:
    """One window; raises CliError where none can be opened.

    Images larger than the screen are shown smaller; boxes are in image pixels all the same.
    """

    def __init__(self, title: str, remedy: str) -> None:
        try:
            import tkinter
        except ImportError:
            raise CliError(f"this Python has no tkinter to open a window with; {remedy}") from None
        try:
            self._root = tkinter.Tk()
        except tkinter.TclError as error:
            raise CliError(f"no window can be opened here ({error}); {remedy}") from None
        self._tk = tkinter
        self._root.title(title)
        self._canvas = tkinter.Canvas(self._root, highlightthickness=0, background="black")
        self._canvas.pack()
        self._photo: Any = None
        self._scale = 1.0
        self.open = True
        self._key = ""
        self._root.protocol("WM_DELETE_WINDOW", self._closed)
        self._root.bind("<Key>", self._pressed)

    def _closed(self) -> None:
        self.open = False

    def _pressed(self, event: Any) -> None:
        self._key = event.keysym
        if event.keysym in ("Escape", "q"):
            self.open = False

    def show(self, rgb: Image) -> str:
        """Show uint8 ``[H, W, 3]`` RGB; returns the name of a key pressed since, or nothing."""
        self._draw(rgb)
        self._root.update()
        key, self._key = self._key, ""
        return key

    def _draw(self, rgb: Image) -> None:
        height, width = rgb.shape[:2]
        room_w, room_h = self._root.winfo_screenwidth() - 40, self._root.winfo_screenheight() - 120
        self._scale = min(1.0, room_w / width, room_h / height)
        if self._scale < 1:
            size = (max(1, round(width * self._scale)), max(1, round(height * self._scale)))
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        height, width = rgb.shape[:2]
        data = b"P6 %d %d 255 " % (width, height) + np.ascontiguousarray(rgb).tobytes()
        self._photo = self._tk.PhotoImage(master=self._root, data=data, format="ppm")
        self._canvas.configure(width=width, height=height)
        self._canvas.delete("all")
        self._canvas.create_image(0, 0, image=self._photo, anchor="nw")

    def select(self, rgb: Image) -> Box | None:
        """Let the person draw a box; None when the window was closed or Escape pressed."""
        self._draw(rgb)
        canvas = self._canvas
        room = max(80, round(rgb.shape[1] * self._scale) - 16)
        canvas.create_text(9, 9, anchor="nw", width=room, text=HELP, fill="black")
        canvas.create_text(8, 8, anchor="nw", width=room, text=HELP, fill="white")
        corners: list[float] = []
        done = [False]

        def press(event: Any) -> None:
            corners[:] = [event.x, event.y, event.x, event.y]

        def drag(event: Any) -> None:
            if corners:
                corners[2:] = [event.x, event.y]
                canvas.delete("box")
                canvas.create_rectangle(*corners, outline="#00e676", width=2, tags="box")

        def take(_event: Any) -> None:
            done[0] = bool(corners) and corners[0] != corners[2] and corners[1] != corners[3]

        canvas.bind("<ButtonPress-1>", press)
        canvas.bind("<B1-Motion>", drag)
        for key in ("<Return>", "<KP_Enter>", "<space>"):
            self._root.bind(key, take)
        while self.open and not done[0]:
            self._root.update()
            time.sleep(0.015)
        for name in ("<ButtonPress-1>", "<B1-Motion>"):
            canvas.unbind(name)
        if not self.open:
            return None
        (x0, x1), (y0, y1) = sorted(corners[0::2]), sorted(corners[1::2])
        scale = self._scale
        return (x0 / scale, y0 / scale, (x1 - x0) / scale, (y1 - y0) / scale)

    def close(self) -> None:
        """Close the window."""
        self.open = False
        with suppress(self._tk.TclError):
            self._root.destroy()
