"""What a person sees in a terminal: summaries, tables, refusals. The results themselves go to files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from afdcli.cli.ending import REFUSED, UNEXPECTED, unexpected
from afdcli.errors import AfdError, OutputRefused
from afdcli.formats.rows import Row
from afdcli.options import ClassifyOptions, DegradeOptions, EvaluateOptions
from afdcli.options.groups import STANDARD_OUTPUT
from afdcli.photos import kinds
from afdcli.photos.sources import Sources
from afdcli.results.naming import visible

if TYPE_CHECKING:
    from afdcli.commands.bench import Rate
    from afdcli.commands.export import Exported
    from afdcli.commands.fuse import Fused
    from afdcli.engines.engine import Engine
    from afdcli.models.description import Description
    from afdcli.models.places import Place
    from afdcli.results.resuming import Anew

ROWS_SHOWN = 20
"""A run of no more photos shows all its predictions."""

# Lines are never wrapped to an invented width: in a pipe, one sentence stays one line.
WIDTH_IN_A_PIPE = 160


class _Console(Console):
    """One that draws with what the stream's encoding has: Rich takes every stream it looks up by itself for UTF-8."""

    @property
    def encoding(self) -> str:
        """The encoding of the stream, in small letters."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()


out = _Console(highlight=False, emoji=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH_IN_A_PIPE)
err = _Console(highlight=False, emoji=False, soft_wrap=True, stderr=True)


def shown(text: str) -> str:
    r"""`text` on one line, in letters that the terminal has: others show as `\n`, `\xe4`, `\u732b`."""
    return visible(text).encode(out.encoding, "backslashreplace").decode(out.encoding)


def refuse(error: Exception) -> int:
    """Say why nothing was done; returns the exit code."""
    sentence = str(error)
    if not isinstance(error, AfdError):  # a usage error, from the parser of the command line
        usage: Any = error
        command = usage.ctx.command_path if usage.ctx else "afd COMMAND"  # not every usage error says where it was
        reason = usage.format_message()
        sentence = f"{reason}{'' if reason[-1:] in ('.', '?') else '.'} See: {command} --help"
    err.print(Text.assemble(("afd: ", "bold red"), shown(sentence)))
    return error.exit_code if isinstance(error, AfdError) else REFUSED


def fail(error: Exception) -> int:
    """Say that something happened which nobody foresaw; returns the exit code."""
    first, _, trace = unexpected(error).partition("\n")
    err.print(Text.assemble(("afd: ", "bold red"), shown(first)))
    if trace:
        err.print(trace, markup=False, end="")
    return UNEXPECTED


class ClassifySummary:
    """What `afd classify` shows at its end. The rows are in the output; a few are shown as well."""

    def __init__(self, options: ClassifyOptions, total: int) -> None:
        self._options = options
        self.total = total
        """Photos in all."""
        self.rows = str(options.output)
        """Where the rows are, in words."""
        self.kept = f"{self.rows} is valid as it is. Go on with it by adding --resume."
        """What to say of them where the run is stopped."""
        if options.output == STANDARD_OUTPUT:
            self.rows, self.kept = "standard output", "Their rows are out."
        self._shown: list[Row] = []
        self._read = 0
        self._qualities: Counter[int] = Counter()

    def add(self, row: Row) -> None:
        """Take one row into account."""
        if self.total <= ROWS_SHOWN and self._options.output != STANDARD_OUTPUT:
            self._shown.append(row)
        self._read += row["status"] == "ok"
        if row["quality"]:
            self._qualities[row["quality"]] += 1

    def show(self, classifier: Engine, seconds: float, anew: Anew | None) -> None:
        """Print it, what `classifier` it was, and what of an earlier run was done `anew`."""
        if self._shown:
            heads = ("photo", "label", "probability", "JPEG quality")
            table(heads, (self._cells(row) for row in self._shown), left=2)
            out.print()
        qualities = sorted(self._qualities.elements())
        spread = "none"
        if qualities:
            spread = f"{len(qualities):,}, quality {qualities[0]} to {qualities[-1]}, median {median_low(qualities)}"
        about = classifier.about
        facts = {
            "Classified": f"{self._read:,} of {self.total:,} photos in {seconds:.1f} s",
            "JPEG files": spread,
            "Backbone": f"{_backbone(about)}, {'no' if about.method == 'none' else 'with a'} de-drifting module",
            "Engine": classifier.engine,
            "Rows": self.rows,
        }
        if anew is not None and anew.batches:
            facts["Done anew"] = str(anew)
        grid = Table.grid(padding=(0, 2))
        for name, value in facts.items():
            grid.add_row(Text(name, "dim"), Text(shown(value)))
        out.print(grid)

    @staticmethod
    def _cells(row: Row) -> tuple[object, ...]:
        if row["status"] != "ok":
            return row["path"], "(could not be read)", None, None
        label = str(row["label_1"]).split(",")[0]
        return row["path"], label, f"{row['prob_1']:.2f}", row["quality"]


def _backbone(about: Description) -> str:
    """The backbone by name, and, where its file has parts, which of the weights in it were taken."""
    if not about.backbone_part:
        return about.backbone
    return f"{about.backbone} with {'EMA weights' if about.backbone_ema else 'no EMA weights'} ({about.backbone_part})"


def show_passed_over(sources: Sources) -> None:
    """Say what of the inputs gave no row, if anything."""
    if sources.passed_over:
        folders = "1 folder" if sources.passed_over == 1 else f"{sources.passed_over:,} folders"
        verb = "was" if sources.passed_over == 1 else "were"
        out.print(f"{folders} of the system's own, such as @eaDir, {verb} passed over.", markup=False)
    if sources.repeated:
        names = "1 link or name" if sources.repeated == 1 else f"{sources.repeated:,} links or names"
        out.print(f"{names} led to what had come before, and gave no second row.", markup=False)
    if sources.other_files:
        words = visible(kinds.in_words(sources.other_files))
        out.print(f"Passed over, as no images: {words}.", markup=False)


LOADING = "Loading the classifier ..."
COMPILING = "Compiling the classifier: usually 5 to 15 s, and once only ..."


@contextmanager
def loading(quiet: bool) -> Iterator[None]:
    """Say on a terminal that the classifier is loaded, and anywhere that it is compiled, unless `quiet`."""
    from afdcli.engines import loading as engines

    with nullcontext() if quiet else busy(LOADING) as status:

        def compiling() -> None:
            if status is not None:
                status.update(Text(COMPILING))
            else:
                err.print(COMPILING, markup=False)

        engines.about_to_compile = None if quiet else compiling
        try:
            yield
        finally:
            engines.about_to_compile = None


def busy(text: str) -> AbstractContextManager[Status | None]:
    """Say on a terminal what is being waited for, as long as it is."""
    if not err.is_terminal:
        return nullcontext()
    return err.status(Text(text), spinner="dots" if err.encoding.startswith("utf") else "line")


def show_taps(places: Sequence[Place], names: Mapping[str, str]) -> None:
    """Print the places for a module in a backbone; `names` are the short ones, and the submodules they stand for."""
    rows = [
        (
            ", ".join(short for short, name in names.items() if name == place.name),
            place.name,
            f"{place.channels} x {place.grid[0]} x {place.grid[1]}",
            f"1/{place.reduction:.3g}",
            str(place.layout),
        )
        for place in places
    ]
    table(("--tap", "submodule", "channels x h x w", "resolution", "layout"), rows, left=2)


def show_fused(fused: Fused) -> None:
    """Say what folding changed."""
    rows = [("parameters", *map("{:,}".format, fused.parameters)), ("MACs an image", *map("{:,}".format, fused.macs))]
    table(("", "before", "after"), rows)
    out.print(
        f"Largest difference over {fused.photos} photos: {fused.difference:.1e} of the largest output.", markup=False
    )


def show_rates(rates: Iterable[Rate]) -> list[Rate]:
    """Print what `afd bench` measured, and meanwhile say on a terminal what it is at. The `rates`, all of them."""
    rows, measured = [], []
    with busy("Measuring ...") as status:
        for rate in rates:
            measured.append(rate)
            speed = rate.photos_per_second
            rows.append((rate.part, rate.engine, rate.weights, f"{speed:.1f}", f"{1000 / speed:.1f}"))
            if status is not None:
                status.update(f"Measuring ... {rate.part} {speed:.1f} photos a second")
    table(("part", "engine", "weights", "photos a second", "ms a photo"), rows, left=3)
    return measured


def show_limit(sentence: str) -> None:
    """Say what `afd bench` found to be the slowest."""
    out.print(sentence, markup=False)


def show_exported(exported: Exported) -> None:
    """Say what was written, and how near it is."""
    written = f"{' and '.join(shown(str(file)) for file in exported.files)}: {exported.size / 1e6:.1f} MB."
    out.print(
        f"{written} {exported.same_class} of {exported.photos} photos get the same class as in torch; "
        f"the largest difference between probabilities is {exported.difference:.1e}.",
        markup=False,
    )


def show_accuracies(rows: Sequence[Row], output: Path | None, about: Description | None = None) -> None:
    """Print what `afd evaluate` measured, that the rows are in `output`, if they could be written, and which of the
    weights in its file the backbone has, if `about` it that is known."""
    labelled = rows[0]["top1"] is not None
    compared = any(row["difference"] is not None for row in rows)
    several = len({row["backbone"] for row in rows}) > 1
    heads = [*["backbone"] * several, "weights", "codec", "quality", "passes"]
    heads += ["top-1 %", "95 % interval", "top-5 %"] if labelled else []
    heads += ["recovered %", "p"] if compared else []
    cells = []
    for row in rows:
        cell = [*[row["backbone"]] * several, row["weights"], row["codec"], row["quality"], row["passes"] or None]
        if labelled:
            interval = f"{row['top1_low']:.1f} - {row['top1_high']:.1f}"
            cell += [f"{row['top1']:.1f}", interval, f"{row['top5']:.1f}"]
        if compared:
            cell += [None if row["recovered"] is None else f"{row['recovered']:.1f}", row["p_value"]]
        cells.append([*cell, f"{row['agreement']:.1f}", f"{row['bytes_per_pixel']:.3f}"])
    table([*heads, "agreement %", "bytes a pixel"], cells, left=2 + several)
    unlabelled = "" if labelled else " No folder is named like a class, so only agreement could be measured."
    where = "" if output is None else f" Rows are in {shown(str(output))}."
    taken = f" The backbone is {shown(_backbone(about))}." if about is not None and about.backbone_part else ""
    out.print(f"\n{rows[0]['images']:,} photos, {rows[0]['order']}.{where}{taken}{unlabelled}", markup=False)


def show_smallest(rows: Sequence[Row], options: EvaluateOptions, command: str) -> None:
    """Print the smallest files that `afd evaluate --lose` found, where none is, and the command that makes them."""
    cells = []
    for row in rows:
        cell = [row["weights"], row["codec"], row["quality"]]
        cell += [None if row[name] is None else f"{row[name]:.1f}" for name in ("kilobytes", "saved", "saved_jpeg90")]
        cells.append([*cell, f"{row['loss']:.2f}", f"{row['loss_low']:.2f} - {row['loss_high']:.2f}", row["images"]])
    heads = ["weights", "codec", "quality", "kilobytes", "saved %", "against JPEG 90 %"]
    table([*heads, "loss", "95 % interval", "photos"], cells, left=2)
    measure = "top-1" if rows[0]["measure"] == "top1" else "agreement"
    sure = "with a probability of 95 %" if options.sure == "yes" else "on these photos"
    out.print(f"\nEach loses less than {options.lose:g} points of {measure}, {sure}.", markup=False)
    for row in rows:
        if row["quality"] is not None:
            continue
        needed = row["photos_needed"]
        why = (
            "its best quality loses more"
            if needed is None
            else f"{row['images']:,} photos cannot tell; {needed:,} like these would"
        )
        out.print(f"{row['codec']}, {shown(row['weights'])}: no quality is known to: {why}.", markup=False)
    if command:
        out.print(f"The copies are made by: {command}", markup=False, soft_wrap=True)
    out.print(f"Rows are in {shown(str(options.output))}.", markup=False)


@contextmanager
def shown_anyway(show: Callable[[], None], quiet: bool) -> Iterator[None]:
    """Where results cannot be written, `show` them before saying so: it took long to get them."""
    try:
        yield
    except OutputRefused:
        if not quiet:
            show()
        raise


def show_copies(options: DegradeOptions, photos: int) -> None:
    """Say where the copies of so many `photos` are."""
    names = ", ".join(degradation.name for degradation in options.degradations)
    where = shown(str(options.destination))
    out.print(
        f"{photos:,} photos are in {where} as {names}, with a manifest for each.",
        markup=False,
    )


def table(heads: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> None:
    """Print a table; the first `left` columns hold text, the others numbers."""
    cells = [["" if value is None else shown(str(value)) for value in row] for row in rows]
    grid = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, head in enumerate(heads):
        # Where the terminal is narrow, only the first column, with the paths, is cut short.
        width = max(map(len, [head, *(row[index] for row in cells)])) if index else None
        justify: Literal["left", "right"] = "left" if index < left else "right"
        grid.add_column(head, justify=justify, min_width=width, overflow="ellipsis", no_wrap=True)
    for row in cells:
        grid.add_row(*map(Text, row))
    out.print(grid)


def show_page(what: str, page: Path) -> None:
    """Say `what` is on a page, and where that is."""
    out.print(f"{what} are on the page {shown(str(page))}: open it in a browser.", markup=False)
