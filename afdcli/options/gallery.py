"""What `afd gallery` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from afdcli.machines.hardware import default_workers
from afdcli.options.fields import Options
from afdcli.options.groups import RESULT_ENDINGS, Overwrite, ReadOptions, Resume, Workers
from afdcli.options.rules import EndsIn, Named, SameRows, Shown


@dataclass(frozen=True)
class GalleryOptions(Options):
    """Make a page of a result of afd classify: its photos with what they show, to look through in a browser."""

    predictions: Annotated[
        Path, EndsIn(*RESULT_ENDINGS), Doc("The file of rows that afd classify wrote: .csv, .jsonl or .parquet.")
    ]
    output: Annotated[
        Path | None,
        Named("--output", "-o"),
        Shown("beside PREDICTIONS"),
        SameRows(),
        Doc("The folder for the page, index.html, and its small pictures; made if it is not there."),
    ] = None
    compare: Annotated[
        Path | None,
        EndsIn(*RESULT_ENDINGS),
        Doc("Another result for the same photos: only those are shown that have another class there, with both."),
    ] = None
    photos: Annotated[
        tuple[str, ...],
        Named("--photos"),
        Shown("as classified"),
        Doc("Where the photos are, if not where they were when they were classified; may be repeated."),
    ] = ()
    resume: Resume = False
    read: ReadOptions = ReadOptions()
    workers: Workers = default_workers()
    overwrite: Overwrite = False

    @property
    def folder(self) -> Path:
        """The folder for the page."""
        return self.output or self.predictions.with_name(f"{self.predictions.stem}-gallery")
