"""What tests share: a sandbox that serves, a desk to push from, a browser."""
