"""Make a training set for a classifier of uploads: every photo saved two or three times, at qualities drawn at random.

python examples/make_copies.py examples/photos copies
"""

import sys
from pathlib import Path

from afdcli import Compression, DegradeOptions, Degrading
from afdcli.options import degradations

if __name__ == "__main__":  # Photos are compressed by other processes, which import this file.
    levels = tuple(Compression("jpeg", quality) for quality in (60, 40, 20))
    wanted = degradations(levels, passes=2, shift=True) + degradations(levels, passes=3, shift=True)
    options = DegradeOptions(source=Path(sys.argv[1]), destination=Path(sys.argv[2]), degradations=wanted)
    for source, copies in Degrading(options).copies():
        print(f"{source.name}: {sum(copy.row['status'] == 'ok' for copy in copies)} copies")
