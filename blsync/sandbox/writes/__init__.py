"""Writing to the sandbox: single records and bulk requests, with the rules that the API has."""
