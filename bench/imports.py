"""Speed of importing a history, through the same actions as all other messages."""

import gzip
import json
import os
import random
import subprocess
import sys
from pathlib import Path

from bench.figures import Figure
from bench.servers import SERVER_CORE

MESSAGES = 30_000
REAL_CHAT = "ROOKERY_REAL_CHAT"
"""The variable that names a file of JSON lines to import instead of made-up messages."""


def measure(folder: Path) -> list[Figure]:
    """Import a file into an empty installation, on one core."""
    source = Path(os.environ[REAL_CHAT]) if REAL_CHAT in os.environ else _made_up(folder)
    done = subprocess.run(
        [sys.executable, *f"-m rookery --data {folder / 'data'} import {source} --room bench --json".split()],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parent.parent,
        preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
    )
    summary = json.loads(done.stdout)
    kind = "real" if REAL_CHAT in os.environ else "made-up"
    return [Figure(f"import of {kind} messages", summary["messages_per_second"], "/s", at_least=15_000)]


def _made_up(folder: Path) -> Path:
    """Write messages shaped like real ones: a Zipf-like vocabulary, 320 characters on average, a thousand topics."""
    chance = random.Random(7)
    words = ["".join(chance.choices("etaoinshrdlucmfwypvbgk", k=chance.randint(2, 10))) for _ in range(8_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    path = folder / "talk.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        for at in range(MESSAGES):
            record = {
                "channel": f"channel {at % 3}",
                "topic": f"topic {chance.randrange(1_000)}",
                "user": f"user{chance.randrange(500):05d}",
                "timestamp": 1_600_000_000 + at * 60,
                "content": " ".join(chance.choices(words, weights, k=chance.randint(5, 100))),
            }
            file.write(json.dumps(record) + "\n")
    return path
