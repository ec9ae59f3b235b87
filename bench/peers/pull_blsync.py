"""One pull by blsync with the settings in the environment: the entities named, or all.

Prints one line of JSON: rows, when the pull began, had its last page and ended (unix seconds), what
each entity cost. Exit 1 where an entity failed.
"""

from __future__ import annotations

import json
import sys
import time

from blsync import settings
from blsync.entities import select
from blsync.pull import pull
from blsync.session import open_session


def main(names: list[str]) -> None:
    chosen = settings.load()
    entities = select(names)
    began = read = time.time()

    def watch(*_: object) -> None:
        nonlocal read
        read = time.time()

    with open_session(chosen, progress=watch) as session:
        results = pull(session, chosen.companies()[0], entities)
    ended = time.time()
    for name, result in results.items():
        if result.error:
            sys.exit(f"{name}: {result.error}")
    cost = {
        entity.name: {
            "rows": results[entity.name].rows,
            "requests": results[entity.name].requests,
            "feeds": len(entity.feeds),
        }
        for entity in entities
    }
    rows = sum(one["rows"] for one in cost.values())
    print(
        json.dumps({"rows": rows, "began": began, "read": read, "ended": ended, "entities": cost})
    )


if __name__ == "__main__":
    main(sys.argv[1:])
