"""The model, its geometry and its files, without ROS."""
