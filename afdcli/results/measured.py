"""What `afd evaluate` makes of outcomes, a run's own or those that were kept in files: rows, a table and curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from afdcli import atomic
from afdcli.errors import OutputRefused, WrongUse
from afdcli.formats.rows import FORMATS, Row
from afdcli.machines.locks import Lock
from afdcli.machines.processes import in_parts
from afdcli.photos.damage import Level
from afdcli.results.accuracy import COLUMNS, markdown
from afdcli.results.accuracy_page import Pictures, page
from afdcli.results.journal import foreign
from afdcli.results.naming import beside, rates_beside, visible
from afdcli.results.outcomes import ARRAYS, LEVEL, Outcomes, Run, columns, key_of
from afdcli.results.record import digest, read_record
from afdcli.results.rowfile import ResultFile, read_rows

PROGRAM = "afd evaluate"


def write_measured(
    output: Path,
    found: Sequence[Row],
    outcomes: Sequence[Outcomes],
    content: Mapping[str, Any],
    *,
    compare: Pictures | None,
    overwrite: bool,
) -> None:
    """Write `found`, the rows of all `outcomes`, to `output`; and, to `compare` them, all that then lies beside.

    What they are compared with are these pictures of some photos; None: they are not compared.

    Raises:
        OutputRefused: one of them cannot be written, or must not be replaced.
    """
    also = beside(output) if compare is not None else []
    with Lock(output), ResultFile(output, COLUMNS, content, resume=None, overwrite=overwrite, also=also) as file:
        file.write(found)
        if compare is not None:
            table, curves, sizes, html = also
            rates = _compare(found, outcomes, table, curves, sizes)
            with atomic.file(html) as fresh:
                fresh.write_text(page(visible(output.stem), found, outcomes, compare), encoding="utf-8")
    if compare is not None:
        from afdcli.results import rate

        with ResultFile(rates_beside(output), rate.COLUMNS, content, resume=None, overwrite=overwrite) as file:
            file.write(rates)


def _compare(found: Sequence[Row], outcomes: Sequence[Outcomes], table: Path, curves: Path, sizes: Path) -> list[Row]:
    """Write the table and both pictures of `found`, and return the rates that are in the table."""
    from afdcli.results import figures, rate  # take as long to import as a small evaluation

    rows, tables, rates = iter(found), list[str](), list[Row]()
    for one in outcomes:
        tables.append(markdown([next(rows) for _ in range(one.run.each)], one.milliseconds, one.recovered()))
        own = rate.rate_rows(one)
        tables.append(rate.markdown(own))
        rates += own
    with atomic.file(table) as fresh:
        fresh.write_text("\n".join(filter(None, tables)), encoding="utf-8")
    figures.accuracy_curves(found, curves)
    figures.rate_curves(found, sizes)
    return rates


def read_outcomes(path: Path) -> Outcomes:
    """What a run has kept in the file at `path`, which is one of `--per-photo`.

    Raises:
        WrongUse: it is none, or is unfinished, or was changed since.
    """
    content = _record_of(path)
    settings = content.get("settings")
    settings = settings if isinstance(settings, dict) else {}
    read = settings.get("read")
    reads_truncated = isinstance(read, dict) and read.get("truncated") == "read"
    try:
        outcomes = _add_up(read_rows(path, columns(reads_truncated=reads_truncated)))
    except (ValueError, KeyError, TypeError, OutputRefused):
        raise WrongUse(str(foreign(path))) from None
    outcomes.settings = settings
    took = content.get("milliseconds")
    if isinstance(took, dict):
        outcomes.milliseconds = {str(name): float(one) for name, one in took.items() if isinstance(one, int | float)}
    return outcomes


def _record_of(path: Path) -> dict[str, Any]:
    """The record of the file at `path`, after checking that the file is as the record has it.

    Raises:
        WrongUse: it is not.
    """
    if not path.is_file():
        raise WrongUse(f"There is no file '{path}'. --from takes files that afd evaluate wrote with --per-photo.")
    content = read_record(path) if path.suffix.lower() in FORMATS else None
    listed = (content or {}).get("files")
    if content is None or content["program"] != PROGRAM or not isinstance(listed, dict) or path.name not in listed:
        raise WrongUse(
            f"'{path}' has no record '{path.name}.json' beside it that is from afd evaluate --per-photo. --from takes "
            "files that it wrote, with their records."
        )
    if not content.get("complete"):
        raise WrongUse(
            f"'{path}' is from an interrupted run. Go on with that first, by adding --resume to its command."
        )
    if listed[path.name] != digest(path):
        raise WrongUse(f"'{path}' was changed since afd wrote it, so its figures are not known to be right.")
    return content


def _add_up(rows: Iterator[Row]) -> Outcomes:
    """The outcomes in `rows`, those of the first photo telling what all have.

    Raises:
        ValueError, KeyError, TypeError: they are not the rows of a run.
    """
    first = next(rows, None)
    if first is None:
        raise ValueError
    head, rest = [first], list[Row]()
    for row in rows:
        if key_of(row) == key_of(first):
            rest.append(row)
            break
        head.append(row)
    costs = {row["weights"]: (row["parameters"], row["macs"]) for row in head}
    levels = [Level(**{name: row[name] for name in LEVEL}) for row in head if row["weights"] == first["weights"]]
    outcomes = Outcomes(Run(first["backbone"], tuple(levels), costs), 1024)
    for own in in_parts(chain(head, rest, rows), len(head)):
        outcomes.add(own)
    return outcomes


def together(found: Sequence[Outcomes]) -> list[Outcomes]:
    """`found` joined: those of a backbone become one, of the photos and of the weights of all.

    Files with the same weights are parts of a data set; those with other weights are of the same photos, of which count
    those that could be read in all.

    Raises:
        WrongUse: they are of other levels, or of a backbone with other weights; a photo comes twice; or photos that
            should be the same are not.
    """
    backbones: dict[str, list[Outcomes]] = {}
    for one in found:
        backbones.setdefault(one.run.backbone, []).append(one)
    joined = []
    for name, own in backbones.items():
        if any(one.run.levels != own[0].run.levels for one in own):
            raise WrongUse(
                f"The files of the backbone '{name}' were measured at different levels. Give them one by one."
            )
        if any(one.settings.get("backbone_sha256") != own[0].settings.get("backbone_sha256") for one in own):
            raise WrongUse(f"The files are of two classifiers that are both called '{name}'. Give them one by one.")
        parts: dict[tuple[str, ...], list[Outcomes]] = {}
        for one in own:
            parts.setdefault(tuple(one.run.costs), []).append(one)
        whole = [_end_to_end(some) for some in parts.values()]
        joined.append(whole[0] if len(whole) == 1 else _side_by_side(whole))
    for one in joined:
        if not one.paths:
            raise WrongUse("Not one photo could be read when these files were written. Look at their column 'error'.")
    return joined


def _end_to_end(parts: Sequence[Outcomes]) -> Outcomes:
    """The photos of all `parts`, which were measured in the same way."""
    if len(parts) == 1:
        return parts[0]
    paths, failed = list[str](), dict[str, str]()
    for one in parts:
        if twice := {*paths, *failed}.intersection([*one.paths, *one.failed]):
            raise WrongUse(f"The photo '{min(twice)}' is in two of the files, and would count twice.")
        if (one.labels is None) != (parts[0].labels is None):
            raise WrongUse("In some of the files the classes of photos are known, and in others not.")
        paths, failed = paths + one.paths, failed | one.failed
    arrays = {name: np.concatenate([one.array(name) for one in parts]) for name in ARRAYS}
    joined = Outcomes.of(parts[0].run, paths, failed, arrays)
    took = [one.milliseconds for one in parts]
    joined.milliseconds = {
        name: float(np.average([one[name] for one in took], weights=[len(one.paths) or 1e-9 for one in parts]))
        for name in parts[0].run.costs
        if all(name in one for one in took)
    }
    joined.settings = parts[0].settings
    for one in parts:
        joined.names |= one.names
    return joined


def _side_by_side(found: Sequence[Outcomes]) -> Outcomes:
    """The weights of all `found`, on the photos that could be read in all of them."""
    first, failed = found[0], {name: why for one in found for name, why in one.failed.items()}
    paths = [path for path in first.paths if path not in failed]
    costs, hashes, classes, probabilities = {}, dict[str, Any](), [], []
    for one in found:
        if {*one.paths, *one.failed} != {*first.paths, *first.failed}:
            raise WrongUse("Files with different weights must be of the same photos, and these are not.")
        numbers = {path: number for number, path in enumerate(one.paths)}
        places = [numbers[path] for path in paths]
        if one is first:
            labels, sizes = one.array("labels")[places], one.array("sizes")[places]
        if (one.array("labels")[places] != labels).any() or (one.array("sizes")[places] != sizes).any():
            raise WrongUse(
                "Files with different weights must be of the same photos, and some were replaced in between."
            )
        for number, (name, cost) in enumerate(one.run.costs.items()):
            own = (one.settings.get("weights_sha256") or {}).get(name)
            if name not in costs:
                costs[name], hashes[name] = cost, own
                classes.append(one.array("classes")[places, number])
                probabilities.append(one.array("probabilities")[places, number])
            elif hashes[name] != own:
                raise WrongUse(
                    f"'{name}' is not the same module in all of the files. Rename one, and measure it again."
                )
    arrays = {
        "labels": labels,
        "sizes": sizes,
        "classes": np.stack(classes, 1),
        "probabilities": np.stack(probabilities, 1),
    }
    joined = Outcomes.of(Run(first.run.backbone, first.run.levels, costs), paths, failed, arrays)
    for one in reversed(found):
        joined.milliseconds |= one.milliseconds
        joined.names |= one.names
    return joined
