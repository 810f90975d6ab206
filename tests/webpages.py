"""What a parser makes of a page, and outcomes for one that need no network."""

import json
from html.parser import HTMLParser

import numpy as np

from afdcli.photos.damage import Level
from afdcli.results.outcomes import TOP, Outcomes, Run

HOSTILE = ("<img src=x onerror=alert(1)>.jpg", '"></script><script>alert(1)</script>', "a&lt;b\u2028.jpg", "]]>--><!--")


class Elements(HTMLParser):
    """What a browser's parser makes of a page: its elements, and the text of each script."""

    def __init__(self, text):
        super().__init__()
        self.names, self.scripts, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.attributes.append(dict(attributes))

    def handle_data(self, text):
        if self.names and self.names[-1] == "script":
            self.scripts.append(text)

    @property
    def data(self):
        """What the page's own script gets."""
        return json.loads(self.scripts[0])


def outcomes(seen, labels=None, *, weights=("none", "auto"), names=None, qualities=(20, 10), paths=None, codec="jpeg"):
    """Those of photos in which `seen` (photos, weights, 1 + qualities) classes are the most probable."""
    seen = np.array(seen)
    photos, levels = len(seen), 1 + len(qualities)
    run = Run(
        "tiny",
        (Level("clean", None, 0, "crop-first"), *(Level(codec, quality, 1, "crop-first") for quality in qualities)),
        {name: (number, 10 * number) for number, name in enumerate(weights)},
    )
    classes = np.full((*seen.shape, TOP), -1, np.int32)
    classes[..., 0] = seen
    sizes = np.empty((photos, levels, 2), np.int64)
    sizes[..., 0], sizes[..., 1] = 1000 * np.arange(levels, 0, -1), 500
    known = np.full(photos, -1) if labels is None else np.array(labels)
    found = Outcomes.of(
        run,
        list(paths or (f"{number}.jpg" for number in range(photos))),
        {},
        {
            "labels": known.astype(np.int32),
            "sizes": sizes,
            "classes": classes,
            "probabilities": np.full((*seen.shape, 2), 0.5, np.float32),
        },
    )
    found.names = names or {int(index): f"class {index}" for index in np.unique(seen)}
    return found
