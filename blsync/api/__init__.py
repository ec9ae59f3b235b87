"""BigLedger over HTTP: requests at the key's pace, pages, errors, tokens."""
