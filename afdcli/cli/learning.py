"""What a training says while it goes on: what it will take, how good the module is, and that more time hardly pays."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from afdcli.cli.progress import Tracker, in_words
from afdcli.cli.report import err, shown

if TYPE_CHECKING:
    from afdcli.commands.train import Step
    from afdcli.training.glances import Glance

FIRST_STEPS = 3
FIRST_SECONDS = 10.0
"""What a training will take is said after so many steps and so much time."""
LONG = 5400.0
"""Of a training of more seconds, it is said how many steps would take less."""


class Said:
    """What is printed after the steps of a training: lines on standard error, in a pipe and on a terminal alike."""

    def __init__(self, tracker: Tracker, total: int, last: Path, quiet: bool) -> None:
        """`tracker` counts its `total` steps; `last` is the file of the module as it is at any time."""
        self._tracker, self._total, self._last, self._quiet = tracker, total, last, quiet
        self._begun = tracker.done
        self._is_expected = self._is_settled = False

    def after(self, step: Step) -> None:
        """Say what there is to be said after `step`, if anything; nothing if it is quiet."""
        if self._quiet:
            return
        if not self._is_expected and self._tracker.seconds >= FIRST_SECONDS:
            self._expect(step.number)
        if step.validation is not None:
            _print(_validated(step, step.validation))
        if step.glance is not None:
            _print(f"step {step.number:,}, {_glanced(step.glance)}")
            if not (step.glance.pays or self._is_settled):
                self._is_settled = True
                _print(
                    "More time hardly pays by now: the last looks are no better than those before, within their noise. "
                    f"Ctrl-C ends the training; the module as it is now is {shown(str(self._last))}."
                )

    def _expect(self, done: int) -> None:
        """Say, once, what all steps will take, and how many would take less; once there are enough to tell."""
        self._begun = self._begun or done
        if done - self._begun < FIRST_STEPS or not (rate := self._tracker.rate()):
            return
        self._is_expected = True
        _print(f"All {self._total:,} steps take about {in_words(self._total / rate)} here, {1 / rate:.3g} s each.")
        if self._total / rate > LONG:
            hour, coffee = (max(1, round(seconds * rate)) for seconds in (3600, 600))
            _print(
                f"An hour is --steps {hour}, and 10 minutes --steps {coffee}: the learning rate falls in as many as "
                "are asked for, so a short run wins back more than the same time of a long one."
            )


def _validated(step: Step, validation: dict[str, float]) -> str:
    agreement = f"agreement {validation['agreement_without']:.1f} -> {validation['agreement']:.1f} %"
    angle = f"feature angle {validation['angle_without']:.1f} -> {validation['angle']:.1f} degrees"
    undamaged = f"undamaged {validation['clean']:.1f} %"
    return ", ".join((f"step {step.number:,}", f"loss {step.losses['loss']:.3f}", agreement, undamaged, angle))


def _glanced(glance: Glance) -> str:
    """What is won back so far, in words."""
    if glance.classes is None:
        classes = "compression changes no class"
    else:
        verb = "won back" if glance.classes >= 0 else "lost beside them"
        classes = f"{abs(glance.classes):.0f} % of the classes that compression changes {verb}"
    nearer = f"{abs(glance.nearer):.0f} % {'nearer to' if glance.nearer >= 0 else 'further from'}"
    return f"{in_words(glance.seconds)}: {classes}, predictions {nearer} the originals' (a rough look)"


def _print(line: str) -> None:
    err.print(line, markup=False)
