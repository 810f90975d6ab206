"""Whatever a picture is written in, it is read as what was written, or refused; and so is what is left of it."""

import numpy as np
import pytest
from pictures import check_reason, decoded
from ways import Way
from ways_encoded import FORMATS, all_ways

from afdcli.errors import UnreadableImage


def fault(way: Way) -> str | None:
    """What is wrong with how the whole file is read."""
    try:
        pixels = np.asarray(decoded(way.data, icc="ignore").image).astype(int)
    except UnreadableImage as error:
        check_reason(str(error))
        return None if way.right is None else f"refused: {error}"
    if way.right is None:
        return "is not refused"
    if pixels.shape != way.right.shape:
        return f"is {pixels.shape}"
    apart = np.abs(pixels - way.right)
    worst = apart.mean() if way.lossy else apart.max()
    return f"{worst} levels off" if worst > way.within else None


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_every_way_of_writing_gives_what_was_written_or_is_refused(format):
    faults = {way.name: fault(way) for way in all_ways() if way.format == format}
    assert {name: words for name, words in faults.items() if words} == {}


@pytest.mark.slow
@pytest.mark.parametrize("format", FORMATS)
def test_every_way_of_writing_is_refused_when_cut_at_any_tenth_or_loses_nothing(format):
    faults = []
    for way in all_ways():
        if way.format != format or way.right is None:
            continue
        whole = np.asarray(decoded(way.data, icc="ignore").image)
        for tenths in range(1, 10):
            try:
                kept = np.asarray(decoded(way.data[: len(way.data) * tenths // 10], icc="ignore").image)
            except UnreadableImage as error:
                check_reason(str(error))
                if "truncated" not in str(error):
                    faults.append((way.name, tenths, str(error)))
            else:
                if not np.array_equal(kept, whole):
                    faults.append((way.name, tenths, "other pixels"))
    assert faults == []
