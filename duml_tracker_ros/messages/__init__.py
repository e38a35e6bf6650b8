"""ROS messages taken by their fields: nothing here imports ROS before a message is written."""
