"""What the sandbox tells of changes by itself: webhooks and the stream (contract, section 7)."""
