"""Metrics, data sets, one-pass runs, peers, reports and benchmarks; free of ROS."""
