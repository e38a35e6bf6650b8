"""Trackers, each a composition of the shared parts."""
