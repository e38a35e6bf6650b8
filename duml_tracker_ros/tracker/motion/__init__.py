"""Where a target is from frame to frame: its track, the camera, look-alikes, other places."""
