"""Metrics, data sets, one-pass runs, baselines, reports and benchmarks; free of ROS."""
