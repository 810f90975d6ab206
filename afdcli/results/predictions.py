"""What `afd classify` says of a photo, as a row: its columns, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from afdcli.photos.samples import Sample
from afdcli.photos.sources import printable

FACTS = {"path": str, "status": str, "error": str, "format": str, "width": int, "height": int}
"""The columns that all results begin with."""
QUALITY = {"quality": int, "quality_exact": bool}
"""The columns that follow them."""
COMPLETE = {"complete": bool, "present": float}
"""The columns that tell what of a photo could be read, where photos are read that have lost a part."""
RANKED = {"label": str, "index": int, "prob": float}
"""The columns of each class: `label_1`, `index_1`, `prob_1` are those of the most probable one."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What became of one source."""

    sample: Sample
    """What was read, without the pixels."""
    classes: tuple[tuple[str, int, float], ...] = ()
    """(label, index, probability), most probable first; empty where the source could not be read."""
    drift: float | None = None
    """The mean of the drift map, see `Description`, where there is a de-drifting module."""

    def row(self, columns: Iterable[str]) -> dict[str, Any]:
        """The values for `columns`, None where there is none."""
        sample = self.sample
        values: dict[str, Any] = {
            "path": printable(sample.source.name),
            "status": "error" if sample.error else "ok",
            "error": printable(sample.error) or None,
            "format": sample.format,
            "width": sample.width,
            "height": sample.height,
            "quality": sample.quality,
            "quality_exact": sample.quality_exact,
            "complete": None if sample.error else sample.complete,
            "present": None if sample.error else sample.present,
            "quality_source": None if sample.error else "estimated" if sample.quality is None else "tables",
            "drift": self.drift,
        }
        for rank, (label, index, probability) in enumerate(self.classes, start=1):
            values |= {f"label_{rank}": label, f"index_{rank}": index, f"prob_{rank}": probability}
        return {name: values.get(name) for name in columns}


def columns(topk: int, *, uses_quality: bool, estimates_drift: bool, reads_truncated: bool = False) -> dict[str, type]:
    """The columns of the result, in order, with their types: `topk` classes, and what only some classifiers give.

    A classifier that `uses_quality` is told it by the file's tables or estimates it itself, and `quality_source` says
    which; one that `estimates_drift` gives `drift`. A run that `reads_truncated` photos tells which those are.
    """
    found = FACTS | QUALITY
    if reads_truncated:
        found |= COMPLETE
    if uses_quality:
        found["quality_source"] = str
    if estimates_drift:
        found["drift"] = float
    return found | {f"{name}_{rank}": kind for rank in range(1, topk + 1) for name, kind in RANKED.items()}
