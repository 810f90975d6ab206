"""Classify a folder from Python, and list the photos that a person should look at.

python examples/classify_folder.py examples/photos
"""

import sys

import afdcli

for row in afdcli.classify(sys.argv[1], topk=1):
    if row["status"] == "error":
        print(f"{row['path']}: {row['error']}")
    elif row["prob_1"] < 0.5:
        print(f"{row['path']}: perhaps {row['label_1']} ({row['prob_1']:.0%})")
