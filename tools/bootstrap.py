"""Makes `.venv`: ROS 2 from wheels, the Python requirements and this package, ready to run.

Usage: `python3 tools/bootstrap.py` (or `make setup`); see `--help`. This file only refuses what
cannot work, in words that any Python 3 can parse; the work is in `venv_setup.py`.
"""

# ruff: noqa: UP031 - f-strings would be a syntax error to the Pythons this is to refuse

import sys

OLDEST, NEWEST = (3, 10), (3, 14)  # for which the ROS wheels are built


def main() -> None:
    version = sys.version_info[:2]
    if not OLDEST <= version <= NEWEST:
        sys.exit(
            "setup: %s is Python %d.%d, but the ROS wheels need Python %d.%d to %d.%d; "
            "name another one: make setup PYTHON=python3.12"
            % (sys.executable, *(version + OLDEST + NEWEST))
        )
    import venv_setup

    sys.exit(venv_setup.main())


if __name__ == "__main__":
    main()
