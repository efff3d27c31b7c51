"""The content of a street: triangle meshes with classes and materials."""
