"""Make a training set for a classifier of uploads: every photo saved two or three times, at qualities drawn at random.

python examples/make_copies.py examples/photos copies
"""

import os
import sys
from collections import Counter

import afdcli

if __name__ == "__main__":  # Photos are compressed by other processes, which import this file.
    copies = Counter[str]()
    for passes in (2, 3):
        rows = afdcli.degrade(*sys.argv[1:3], qf=(60, 40, 20), passes=passes, shift=True, workers=os.cpu_count() or 1)
        copies.update(row["source"] for row in rows if row["status"] == "ok")
    for name, count in copies.items():
        print(f"{name}: {count} copies")
