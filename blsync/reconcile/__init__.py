"""Reconciliation: BigLedger's own reports, asked for after a pull, and where ours differ."""

from blsync.reconcile.reports import ask, last_closed, requests_due, trial_balance

__all__ = ["ask", "last_closed", "requests_due", "trial_balance"]
