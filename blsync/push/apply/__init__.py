"""Applying a plan: intent before the request, outcome after, what is unanswered settled later."""
