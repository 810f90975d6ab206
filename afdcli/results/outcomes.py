"""What became of each photo in `afd evaluate`: a row for each of the weights and each level, and what they add up to.

The rows are written as they come, gone on with by `--resume`, kept for the user by `--per-photo`, and read again by
`--from`. All figures are made of these rows, so they are the same whichever way the rows came.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from afdcli.formats.rows import Row
from afdcli.photos.damage import Damaged, Level
from afdcli.photos.sources import printable
from afdcli.results.accuracy import Measured, recovered_overall, rows
from afdcli.results.predictions import COMPLETE, RANKED

TOP = 5
"""How many classes a row names, if there are so many."""
LEVEL = tuple(one.name for one in fields(Level))
"""The columns that say which level it is."""
COLUMNS: dict[str, type] = {
    "path": str,
    "status": str,
    "error": str,
    "backbone": str,
    "weights": str,
    "codec": str,
    "quality": int,
    "passes": int,
    "order": str,
    "bytes": int,
    "pixels": int,
    "table_quality": int,
    "label": str,
    "index": int,
    "prob": float,
    "drift": float,
    **{f"{name}_{rank}": kind for rank in range(1, TOP + 1) for name, kind in RANKED.items()},
    "parameters": int,
    "macs": int,
}
"""`path`, `status`, `error`, `drift` and the ranked classes are as in `afd classify`, but with all digits that there
are; level, `parameters` and `macs` as in the rows of `afd evaluate`. `bytes` and `pixels` are of the level's file,
`table_quality` is the JPEG quality in its tables. `label`, `index` and `prob` are of the right class, where known. See
also `columns`."""
ARRAYS = ("labels", "sizes", "classes", "probabilities")
"""What is kept: (photos,) the right classes, -1 where they are not known; (photos, levels, 2) the bytes of each file
and its pixels; (photos, weights, levels, TOP) the most probable classes, -1 where there are no more; and (photos,
weights, levels, 2) the probabilities of the most probable class and of the right one."""


def columns(*, reads_truncated: bool) -> dict[str, type]:
    """The columns of a run: one that `reads_truncated` photos tells which those are, as `afd classify` does."""
    return COLUMNS | COMPLETE if reads_truncated else COLUMNS


_INDICES = [f"index_{rank}" for rank in range(1, TOP + 1)]


@dataclass(frozen=True)
class Said:
    """What one classifier said of some photos at every level, the undamaged ones first."""

    classes: np.ndarray
    """(photos, levels, k) the most probable classes, most probable first; `TOP` of them, if there are so many."""
    probabilities: np.ndarray
    """(photos, levels, k) float32, what it gave them."""
    right: np.ndarray
    """(photos, levels) float32, what it gave the right class; 0 where that is not known."""
    drift: np.ndarray | None
    """(photos, levels) float32, the mean of the drift map, see `Description`; None where there is none."""


@dataclass(frozen=True)
class Run:
    """What all rows of a run share."""

    backbone: str
    """timm's name of the classifier."""
    levels: tuple[Level, ...]
    """The undamaged one first."""
    costs: Mapping[str, tuple[int, int]]
    """For each of the weights, as `--weights` calls it: the parameters and the multiply-adds that it adds."""
    reads_truncated: bool = False
    """Whether the rows tell what of each photo could be read."""

    @property
    def columns(self) -> dict[str, type]:
        """Those of the rows."""
        return columns(reads_truncated=self.reads_truncated)

    @property
    def each(self) -> int:
        """How many rows a photo has."""
        return len(self.costs) * len(self.levels)

    def rows(self, photo: Damaged, place: int, said: Mapping[str, Said], names: Sequence[str]) -> list[Row]:
        """The rows of `photo`, the `place`-th in what was `said` by each of the weights; `names` are those of classes.

        Of a photo that could not be read they have the error, and nothing that was measured.
        """
        found: list[Row] = []
        told = {name: getattr(photo, name) for name in COMPLETE if self.reads_truncated and not photo.error}
        for weights, (parameters, macs) in self.costs.items():
            shared = {
                **dict.fromkeys(self.columns),
                **told,
                "path": printable(photo.case.source.name),
                "status": "error" if photo.error else "ok",
                "error": printable(photo.error) or None,
                "backbone": self.backbone,
                "weights": weights,
                "parameters": parameters,
                "macs": macs,
            }
            measured = _measured(photo, place, said[weights], names) if not photo.error else [{}] * len(self.levels)
            found += [
                {**shared, **asdict(level), **values} for level, values in zip(self.levels, measured, strict=True)
            ]
        return found


def _measured(photo: Damaged, place: int, said: Said, names: Sequence[str]) -> list[dict[str, Any]]:
    """What the rows of a photo have by one classifier, one for each level."""
    assert photo.sizes is not None and photo.qualities is not None
    label = photo.case.label
    right: dict[str, Any] = {} if label is None else {"label": names[label], "index": label}
    found = []
    for size, quality, classes, probabilities, prob, drift in zip(
        photo.sizes.tolist(),
        photo.qualities.tolist(),
        said.classes[place].tolist(),
        _digits(said.probabilities[place]),
        _digits(said.right[place]),
        [None] * len(photo.sizes) if said.drift is None else _digits(said.drift[place]),
        strict=True,
    ):
        values = {"bytes": size[0], "pixels": size[1], "drift": drift, **right}
        values["table_quality"] = None if np.isnan(quality) else int(quality)
        values["prob"] = None if label is None else prob
        for rank, (index, probability) in enumerate(zip(classes, probabilities, strict=True), start=1):
            values |= {f"label_{rank}": names[index], f"index_{rank}": index, f"prob_{rank}": probability}
        found.append(values)
    return found


def _digits(numbers: np.ndarray) -> Any:
    """`numbers` as Python's, with the fewest digits that give the same float32 again."""
    return numbers.astype(np.float32).astype(str).astype(float).tolist()


def key_of(row: Row) -> tuple[Any, ...]:
    """What tells the rows of one photo apart: weights and level."""
    return (row["weights"], *(row[name] for name in LEVEL))


class Outcomes:
    """What is known of the photos of a run, in compact arrays, and the figures that it comes to.

    50,000 photos at 26 levels take 21 MB for the sizes of their files, and 36 MB for each of the weights.
    """

    def __init__(self, run: Run, photos: int) -> None:
        """Begin with none of so many photos; there may be more in the end."""
        self.run = run
        self.paths: list[str] = []
        """The photos that could be read, in order."""
        self.names: dict[int, str] = {}
        """What the classes are called that photos are in, or seem to be."""
        self.failed: dict[str, str] = {}
        """Those that could not, and why."""
        self.milliseconds: dict[str, float] = {}
        """What an image took by each of the weights, where that is known."""
        self.settings: Mapping[str, Any] = {}
        """Those of the run, where it was an earlier one."""
        self._keys = [key_of({"weights": name, **asdict(level)}) for name in run.costs for level in run.levels]
        weights, levels = len(run.costs), len(run.levels)
        self._arrays: dict[str, np.ndarray] = {
            "labels": np.zeros(photos, np.int32),
            "sizes": np.zeros((photos, levels, 2), np.int64),
            "classes": np.zeros((photos, weights, levels, TOP), np.int32),
            "probabilities": np.zeros((photos, weights, levels, 2), np.float32),
        }

    @classmethod
    def of(cls, run: Run, paths: list[str], failed: Mapping[str, str], arrays: Mapping[str, np.ndarray]) -> Outcomes:
        """Those of photos that were added before: `paths` could be read, and have these `arrays`, see `array`."""
        found = cls(run, 0)
        found.paths, found.failed, found._arrays = paths, dict(failed), dict(arrays)
        return found

    def add(self, rows: Sequence[Row]) -> None:
        """Take the rows of one photo into account, which are in the order of `Run.rows`.

        Raises:
            ValueError: they are not the rows of one photo in this run.
        """
        path, label = rows[0]["path"], rows[0]["index"]
        if [(row["path"], row["status"], *key_of(row)) for row in rows] != [
            (path, rows[0]["status"], *key) for key in self._keys
        ]:
            raise ValueError(path)
        if rows[0]["status"] != "ok":
            self.failed[path] = rows[0]["error"] or ""
            return
        place, shape = len(self.paths), (len(self.run.costs), len(self.run.levels), -1)
        if place == len(self._arrays["labels"]):
            more = {name: np.zeros_like(one, shape=(place + 1, *one.shape[1:])) for name, one in self._arrays.items()}
            self._arrays = {name: np.concatenate([one, more[name]]) for name, one in self._arrays.items()}
        classes = [[-1 if row[name] is None else row[name] for name in _INDICES] for row in rows]
        try:
            self._arrays["labels"][place] = -1 if label is None else label
            self._arrays["sizes"][place] = [(row["bytes"], row["pixels"]) for row in rows[: len(self.run.levels)]]
            self._arrays["classes"][place] = np.reshape(classes, shape)
            self._arrays["probabilities"][place] = np.reshape(
                [(row["prob_1"], row["prob"] or 0) for row in rows], shape
            )
        except (TypeError, OverflowError) as error:
            raise ValueError(path) from error
        self.names |= {row["index_1"]: str(row["label_1"]) for row in rows}
        if label is not None:
            self.names[label] = str(rows[0]["label"])
        self.paths.append(path)

    def array(self, name: str) -> np.ndarray:
        """One of `ARRAYS`, of the photos that could be read."""
        return self._arrays[name][: len(self.paths)]

    @property
    def labels(self) -> np.ndarray | None:
        """(photos,) the right classes of those that could be read; None where they are not known."""
        found = self.array("labels")
        return None if (found < 0).any() else found

    @property
    def measured(self) -> list[Measured]:
        """What each of the weights said of the photos that could be read."""
        classes, probabilities = self.array("classes"), self.array("probabilities")
        return [
            Measured(weights, classes[:, number], probabilities[:, number], *costs)
            for number, (weights, costs) in enumerate(self.run.costs.items())
        ]

    def rows(self) -> list[Row]:
        """The rows of `afd evaluate`; there must be a photo that could be read."""
        sizes = self.array("sizes").sum(axis=0)
        return rows(self.run.backbone, self.run.levels, sizes, self.labels, self.measured)

    def recovered(self) -> dict[str, tuple[float, float]]:
        """See `recovered_overall`."""
        return recovered_overall(self.measured, self.labels)
