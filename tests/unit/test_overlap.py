"""Which overlaps of data a plan accepts, and warns of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from max78k_sim.allocation import allocate
from max78k_sim.errors import HardwareLimit, InputError
from tests.builders import FIRST, network_of, one_layer

ONE_TO_ONE = {"kernel_shape": (1, 1), "padding": 0}


@pytest.mark.parametrize(
    ("fields", "overlap_data", "count"),  # of overlaps that are accepted, and warned of
    [
        ({"in_offset": 8, "out_offset": 0}, False, 1),  # pixels that nothing reads any more
        ({"in_offset": 8, "out_offset": 0}, True, 0),
        ({"out_offset": 0}, False, 1),  # the pixel that is being read
        ({"out_offset": 0}, True, 1),
        ({"out_offset": 8}, True, 1),  # lost, and so desired
    ],
)
def test_overlaps_that_are_accepted(fields, overlap_data, count):
    layer = replace(FIRST, **ONE_TO_ONE | fields)
    plan = allocate(network_of(layer, overlap_data=overlap_data))
    warnings = [text for text in plan.warnings if "its output overwrites" in text]
    assert (len(plan.overlaps), len(warnings)) == (count, count)


def test_overlaps_that_are_not():
    with pytest.raises(InputError, match=r"layer 0 .*where input pixel 2 is still to be read"):
        allocate(one_layer(**ONE_TO_ONE, out_offset=8))
    second = replace(FIRST, name="second", in_channels=3, processors=7, in_offset=0x7FFC)
    pair = replace(FIRST, streaming=True), replace(second, streaming=True, out_offset=0)
    with pytest.raises(HardwareLimit, match="past 0x8000, the end of a data-memory instance"):
        allocate(network_of(*pair, fifo=True, overlap_data=True))
