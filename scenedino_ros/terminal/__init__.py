"""What commands share: arguments, progress and tables."""
