"""How a target moves, in the image and in the world, with honest covariances; free of ROS."""
