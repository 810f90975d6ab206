"""How often the one-sided 95 % limit of a loss in accuracy holds, by each way to reckon it, on simulated photos.

Photos are drawn of which a known share is lost, and another won, as compression does; each way then gives a limit that
the true loss should lie below in 95 % of the draws. `afd evaluate --lose` has the limit that holds most evenly.
"""

from __future__ import annotations

import argparse

import numpy as np

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


if __name__ == "__main__":
    main()
