"""What a command opens once: settings, ledger and lake, bound to each other."""
