"""``python -m duml_tracker_ros.mavlink`` runs the MAVLink bridge."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
