"""What stands in a street: solids and leaves with classes and materials."""
