"""The smallest files that lose at most so much: the search for a quality, and how sure that is, as rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from afdcli.formats.rows import Row
from afdcli.results.statistics import loss_limits, percent

COLUMNS = {
    "backbone": str,
    "weights": str,
    "codec": str,
    "quality": int,
    "images": int,
    "measure": str,
    "loss": float,
    "loss_low": float,
    "loss_high": float,
    "limit": float,
    "kilobytes": float,
    "saved": float,
    "saved_jpeg90": float,
    "levels": int,
    "photos_needed": int,
}
"""A row for each codec and each of the weights. `quality` is the lowest that loses less than was asked for; None where
no quality is known to, and then the losses are those of the best quality, and `photos_needed` how many photos would
say that it does. `loss` is in points of `measure`, with its 95 % interval; `limit` is what the loss is below with a
probability of 95 %. `saved` is in percent of the files as they are, `saved_jpeg90` of those of JPEG of quality 90."""
EACH_LOOK = 0.985
"""How sure a limit is at each quality that is looked at, so that it holds at the one that is found in 95 % of searches:
where several are looked at and the lowest that passes is taken, chance has several chances. By simulation, see
`benchmarks/loss_limit.py`."""
MOST_PHOTOS = 10**9


@dataclass
class Bisection:
    """Looks for the lowest quality of a scale that is good enough, given that all above it are."""

    scale: Sequence[int]
    """The best last."""
    tried: int = 0
    _low: int = field(default=0, init=False)
    _high: int = field(default=-1, init=False)

    def __post_init__(self) -> None:
        """Begin with the whole scale."""
        self._high = len(self.scale)

    @property
    def next(self) -> int | None:
        """The quality to try; None where the answer is known."""
        return self.scale[(self._low + self._high) // 2] if self._low < self._high else None

    def tell(self, is_good: bool) -> None:
        """Say whether `next` is good enough."""
        middle = (self._low + self._high) // 2
        self._low, self._high = (self._low, middle) if is_good else (middle + 1, self._high)
        self.tried += 1

    @property
    def found(self) -> int | None:
        """The lowest quality that is good enough, once nothing is left to try; None where none is."""
        return self.scale[self._low] if self._low < len(self.scale) else None


@dataclass
class Loss:
    """What becomes of photos at one level, by one classifier: numbers of photos."""

    both: int = 0
    """Right before and after."""
    lost: int = 0
    """Right only before."""
    won: int = 0
    """Right only after."""
    neither: int = 0

    @property
    def photos(self) -> int:
        """All of them."""
        return self.both + self.lost + self.won + self.neither

    @property
    def share(self) -> float:
        """The share that is lost, less that which is won, in [-1, 1]."""
        return (self.lost - self.won) / self.photos

    def limits(self, sure: float, photos: int | None = None) -> tuple[float, float]:
        """The one-sided limits of the share that is lost; as they would be of so many `photos` like these."""
        factor = 1.0 if photos is None else photos / self.photos
        both, lost, won, neither = (factor * one for one in (self.both, self.lost, self.won, self.neither))
        low, high = loss_limits(both, lost, won, neither, sure)
        return float(low), float(high)

    def is_below(self, share: float, sure: bool) -> bool:
        """Whether less than `share` is lost: surely, see `EACH_LOOK`, or else on these photos."""
        return (self.limits(EACH_LOOK)[1] if sure else self.share) < share

    def photos_needed(self, share: float) -> int | None:
        """How many photos like these would be sure that less than `share` is lost; None where more is."""
        if self.share >= share:
            return None
        low, high = 0, 1
        while self.limits(EACH_LOOK, high)[1] >= share and high < MOST_PHOTOS:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.limits(EACH_LOOK, middle)[1] >= share else (low, middle)
        return high


def losses(loss: Loss) -> Row:
    """The columns that tell a loss, in points."""
    low, high = loss.limits(0.975)
    if not loss.won + loss.neither:  # All were right before, as photos agree with themselves: nothing can be won.
        low = max(low, 0.0)
    return {
        "images": loss.photos,
        "loss": percent(loss.share),
        "loss_low": percent(low),
        "loss_high": percent(high),
        "limit": percent(loss.limits(EACH_LOOK)[1]),
    }
