"""How often the one-sided 95 % limit of a loss in accuracy holds, by each way to reckon it, on simulated photos.

Photos are drawn of which a known share is lost, and another won, as compression does; each way then gives a limit that
the true loss should lie below in 95 % of the draws. `afd evaluate --lose` has the limit that holds most evenly.

Then whole searches for the lowest quality whose limit is low enough: where several qualities are looked at, a limit
that holds in 95 % of looks holds in fewer of the searches, and it is told how sure each look must be (`EACH_LOOK`).
"""

from __future__ import annotations

import argparse

import numpy as np

from afdcli.results.smallest import Bisection, Loss
from afdcli.results.statistics import loss_limits

ACCURACY = 0.88
LOST_AND_WON = ((0.0, 0.0), (0.005, 0.0), (0.01, 0.0), (0.01, 0.005), (0.02, 0.01), (0.03, 0.02), (0.05, 0.01))


def newcombe(counts):
    return loss_limits(*counts.T)[1]


def wald(counts):
    photos = counts.sum(1)
    lost, won = counts[:, 1] / photos, counts[:, 2] / photos
    return lost - won + 1.645 * np.sqrt((lost + won - (lost - won) ** 2) / photos)


def bootstrap(counts, rng=np.random.default_rng(0), samples=1000):  # noqa: B008  # one stream for all
    photos = counts.sum(1)
    drawn = rng.multinomial(photos[0], counts / photos[:, None], size=(samples, len(counts)))
    return np.quantile((drawn[..., 1] - drawn[..., 2]) / photos, 0.95, axis=0)


def search(rng, photos, lost, won, share, sure):
    """The quality that is found on simulated photos, and its limit; `lost` and `won` (101,) are shares by quality."""
    right, chance = rng.random(photos) < ACCURACY, rng.random(photos)
    bisection, limits = Bisection(range(1, 101)), {}
    while (quality := bisection.next) is not None:
        falls, rises = right & (chance < lost[quality]), ~right & (chance < won[quality])
        kinds = (right & ~falls, falls, rises, ~right & ~rises)
        limits[quality] = Loss(*(int(kind.sum()) for kind in kinds)).limits(sure)[1]
        bisection.tell(limits[quality] < share)
    found = bisection.found
    return found, None if found is None else limits[found]


def searches(draws, sure):
    """How often the limit at the quality that is found holds, at worst over curves and numbers of photos."""
    quality, worst = np.arange(101), 1.0
    for lost in (0.35 * np.exp(-quality / 12), 0.1 * np.exp(-quality / 25), 0.03 * np.exp(-quality / 40)):
        won = 0.6 * lost
        true = ACCURACY * lost - (1 - ACCURACY) * won
        for photos, share in ((300, 0.02), (1000, 0.01), (3000, 0.01)):
            rng = np.random.default_rng(1)
            found = [search(rng, photos, lost, won, share, sure) for _ in range(draws)]
            worst = min(worst, np.mean([true[one] <= limit for one, limit in found if one is not None]))
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    rng = np.random.default_rng(0)
    ways = {"Newcombe's method 10": newcombe, "bootstrap": bootstrap, "normal": wald}
    print("photos, lost %, won %: " + "; ".join(ways))
    worst = dict.fromkeys(ways, 1.0)
    for photos in (100, 300, 1000, 3000):
        for lost, won in LOST_AND_WON:
            shares = [ACCURACY - lost, lost, won, 1 - ACCURACY - won]
            counts = rng.multinomial(photos, shares, size=draws)
            holds = {name: float(np.mean(way(counts) >= lost - won)) for name, way in ways.items()}
            worst = {name: min(worst[name], holds[name]) for name in ways}
            told = "; ".join(f"{100 * one:.1f} %" for one in holds.values())
            print(f"{photos}, {100 * lost:g}, {100 * won:g}: {told}")
    print("at worst: " + "; ".join(f"{name} {100 * share:.1f} %" for name, share in worst.items()))
    for sure in (0.95, 0.97, 0.98, 0.985, 0.99):
        print(f"searches, each look at {100 * sure:g} %: {100 * searches(draws // 4, sure):.1f} % at worst")


if __name__ == "__main__":
    main()
