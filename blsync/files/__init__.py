"""Files on the disk: written whole or not at all, locked, private, moved aside when damaged."""
