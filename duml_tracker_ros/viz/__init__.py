"""Drawing: targets and score maps on images, contact sheets, video files."""

from .colours import TRUTH, state_colour
from .draw import contact_sheet, draw_box, draw_target, heatmap_mono, heatmap_overlay, put_text
from .video import VideoError, VideoSink

__all__ = [
    "TRUTH",
    "VideoError",
    "VideoSink",
    "contact_sheet",
    "draw_box",
    "draw_target",
    "heatmap_mono",
    "heatmap_overlay",
    "put_text",
    "state_colour",
]
