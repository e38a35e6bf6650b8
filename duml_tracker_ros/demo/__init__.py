"""Camera, tracker node and recorder as processes: ``python -m duml_tracker_ros.demo``."""
