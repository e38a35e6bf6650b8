"""``python -m duml_tracker_ros.demo`` runs the demo."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
