"""One file for each endpoint; adding one is adding a file and a name here."""

from __future__ import annotations

from blsync.errors import ConfigError
from blsync.push.endpoint import Endpoint
from blsync.push.endpoints.accounts import ACCOUNTS
from blsync.push.endpoints.bills import BILLS
from blsync.push.endpoints.customers import CUSTOMERS
from blsync.push.endpoints.inventory_adjustments import INVENTORY_ADJUSTMENTS
from blsync.push.endpoints.invoices import INVOICES
from blsync.push.endpoints.items import ITEMS
from blsync.push.endpoints.journal_entries import JOURNAL_ENTRIES
from blsync.push.endpoints.payments import PAYMENTS
from blsync.push.endpoints.suppliers import SUPPLIERS

ENDPOINTS = {
    endpoint.name: endpoint
    for endpoint in (CUSTOMERS, INVOICES, INVENTORY_ADJUSTMENTS, JOURNAL_ENTRIES, PAYMENTS)
}
"""Those that bulk requests have; batches have them as well."""
BATCH_ENDPOINTS = {endpoint.name: endpoint for endpoint in (ACCOUNTS, ITEMS, SUPPLIERS, BILLS)}
"""Those that batches alone have."""
EVERY = {**BATCH_ENDPOINTS, **ENDPOINTS}
"""Every endpoint, what others refer to first."""


def endpoint_named(name: str) -> Endpoint:
    """Return the endpoint of that name. Raises ConfigError, naming those there are."""
    found = ENDPOINTS.get(name) or BATCH_ENDPOINTS.get(name)
    if found is None:
        raise ConfigError(
            f"There is no push to {name!r}. Available: {', '.join(ENDPOINTS)}, and in batches "
            f"(BLSYNC_PUSH_DIALECT=batch) {', '.join(BATCH_ENDPOINTS)}."
        )
    return found
