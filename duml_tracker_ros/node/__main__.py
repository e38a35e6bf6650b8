"""``python -m duml_tracker_ros.node`` runs the tracker node."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
