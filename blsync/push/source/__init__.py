"""Where a push comes from: a file or a proposal view, as rows of text."""
