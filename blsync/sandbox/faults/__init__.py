"""What a server may do wrong, each by its name."""
