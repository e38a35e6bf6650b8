"""From an image to a candidate and a verdict: crops, colour, score maps, masks, the peak."""
