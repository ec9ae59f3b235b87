"""How people spell values in the files they keep, and the one form in which keys are compared."""
