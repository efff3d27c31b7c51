"""A drive played through the node in separate processes, with a report at the end."""
