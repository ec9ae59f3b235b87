"""What the sandbox tells of changes: webhooks and the stream (bigledger-api.md, section 7)."""
