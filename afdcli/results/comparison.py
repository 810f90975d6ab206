"""What `afd evaluate --compare` writes beside the rows: a table as Markdown, two pictures, and the rates as CSV."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from afdcli import atomic
from afdcli.formats.rows import Row
from afdcli.photos.damage import Level
from afdcli.results import figures, rate
from afdcli.results.accuracy import Measured, markdown, recovered_overall
from afdcli.results.naming import beside, rates_beside
from afdcli.results.rowfile import ResultFile


def write(
    output: Path,
    content: Mapping[str, Any],
    overwrite: bool,
    rows: Sequence[Row],
    levels: Sequence[Level],
    sizes: np.ndarray,
    labels: np.ndarray | None,
    measured: Sequence[Measured],
    milliseconds: Mapping[str, float],
) -> None:
    """Write all that lies beside `output`, whose record has this `content`.

    `rows` and `levels`, the undamaged one first, are those of the evaluation; `sizes` (photos, levels, 2) are the bytes
    of each file and its pixels; `labels` (photos,) the classes, None if they are not known; `milliseconds` an image are
    those of each of the weights.
    """
    curves = rate.curves_of(levels, sizes, labels, measured)
    rates = rate.rate_rows(rows[0]["backbone"], rows[0]["order"], curves, "agreement" if labels is None else "top1")
    table = markdown(rows, milliseconds, recovered_overall(measured, labels))
    table_file, over_quality, over_size = beside(output)
    with atomic.file(table_file) as fresh:
        fresh.write_text(table + rate.markdown(rates), encoding="utf-8")
    figures.accuracy_curves(rows, over_quality)
    figures.rate_curves(rows, over_size)
    with ResultFile(rates_beside(output), rate.COLUMNS, content, resume=None, overwrite=overwrite) as file:
        file.write(rates)
