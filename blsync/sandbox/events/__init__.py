"""What the sandbox tells of changes by itself: webhooks and the stream (bigledger-api.md, section 7)."""
