"""The sandbox over HTTP: routes, pages, limits, tokens, the control of tests."""
