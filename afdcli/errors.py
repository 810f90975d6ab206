"""What afd refuses to do, or does in another way.

The text of each is for the user: one sentence or two, ending in what to do next.
"""


class AfdError(Exception):
    """Any refusal. One that reaches the command line ends the command with its `exit_code`."""

    exit_code = 2
    """Nothing was done."""


class WrongUse(AfdError):
    """A flag or a path that cannot be meant, found before any work is done."""


class UnreadableImage(AfdError):
    """One file is no image that can be used. The batch goes on: this becomes the `error` of that file's row."""


class OutputRefused(AfdError):
    """The output cannot be written, or something is there already that must not be lost."""


class OutputExists(OutputRefused):
    """What would be replaced is a finished result of the same command: to be asked for."""

    def __init__(self, path: object, program: str, flag: str = "--output") -> None:
        self.finding = f"'{path}' is a finished result of {program}."
        super().__init__(f"{self.finding} Add --overwrite to replace it, or choose another {flag}.")


class BackboneUnavailable(AfdError):
    """No such backbone, or its weights are not to be had here."""


class BadCheckpoint(AfdError):
    """A weights file that is truncated, foreign, or made for another model."""


class UnsupportedBackbone(AfdError):
    """A backbone that cannot be cut at the tap asked for, or whose preprocessing is not known here."""


class TrainingStopped(AfdError):
    """Training cannot go on, or has no module to show for it. What was good is kept."""

    exit_code = 3


class ParityError(AfdError):
    """An exported file would not give what the classifier gives. It is not kept."""


class Fallback(UserWarning):
    """What could not be done as it should be, and was done in another way. The text is a sentence for the user."""
