"""The ROS 2 side: translate messages, look up transforms, publish."""
