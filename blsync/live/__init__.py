"""Events of BigLedger's: received, stored, and what they tell of pulled by its change window.

An event is a hint that something changed and never the data of record. Whoever is asked, by webhook
or by stream, the same happens: `events` reads what came, the ledger keeps it, `news` says which
entities have news.
"""
