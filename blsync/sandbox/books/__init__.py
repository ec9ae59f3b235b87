"""The books that the sandbox keeps, by double entry."""
