"""Where and when work is done: device, transfer, stage times, background updates."""
