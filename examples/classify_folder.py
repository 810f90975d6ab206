"""Classify a folder from Python, and list the photos that a person should look at.

python examples/classify_folder.py examples/photos
"""

import sys
from pathlib import Path

from afdcli import Classification, ClassifyOptions

if __name__ == "__main__":  # Photos are decoded by other processes, which import this file.
    options = ClassifyOptions(inputs=(sys.argv[1],), output=Path("classes.csv"), topk=1, overwrite=True)
    run = Classification(options)  # overwrite: of an earlier run
    for row in run.rows():
        if row["status"] == "error":
            print(f"{row['path']}: {row['error']}")
        elif row["prob_1"] < 0.5:
            print(f"{row['path']}: perhaps {row['label_1']} ({row['prob_1']:.0%})")
