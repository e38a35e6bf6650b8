"""The ROS 2 side: a lifecycle node around the ROS-free tracker."""
