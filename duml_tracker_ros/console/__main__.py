"""``python -m duml_tracker_ros.console`` runs the web console."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
