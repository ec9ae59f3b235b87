"""The sandbox in a process of its own: PORT, and its `Options` as a JSON object."""

from __future__ import annotations

import json
import sys

from blsync.sandbox import Options, serve

if __name__ == "__main__":
    serve(Options(**json.loads(sys.argv[2])), port=int(sys.argv[1]))
