"""How small can these photos be saved before the classifier changes its mind? Needs no labels.

python examples/measure_compression.py examples/photos
"""

import sys
from pathlib import Path

from afdcli import Compression, EvaluateOptions, Evaluation

if __name__ == "__main__":  # Photos are compressed by other processes, which import this file.
    levels = tuple(Compression("jpeg", quality) for quality in (80, 40, 20, 10))
    options = EvaluateOptions(
        dataset=Path(sys.argv[1]),
        output=Path("agreement.csv"),
        levels=levels,
        order="compress-first",
        overwrite=True,  # of an earlier run
    )
    evaluation = Evaluation(options)
    for photo in evaluation.photos():
        if photo.error:
            print(f"{photo.case.source.name}: {photo.error}")
    for row in evaluation.write():
        print(
            f"{row['codec']} {row['quality'] or ''}: {row['bytes_per_pixel']} bytes a pixel, {row['agreement']} % agree"
        )
