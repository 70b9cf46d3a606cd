"""StaleRegisters: layer registers that an earlier network left behind.

The vendor's generator does not write zeros: it relies on registers being 0 after a reset.  So,
precisely: an *initialisation* is a write of LCNT_MAX (cnn_init) after layer registers were written.
At a start, if layer registers were written since the last initialisation (cnn_configure), every
register of a layer that runs, in an enabled quadrant, that is not 0 and was last written before it,
is stale.  A program that writes no layer register after cnn_init asks for the old ones.
"""

from __future__ import annotations

import numpy as np

from ..memory import Memory

SHOWN = 3  # registers that a warning names


class StaleRegisters:
    """When each layer register was last written, counted in initialisations."""

    def __init__(self, memory: Memory):
        self.memory = memory
        self.region = memory.device.region("layer register")
        self._written = np.full(memory.arrays[self.region.name].size, -1)
        self._initialisation = 0
        self._configured = False  # since the last initialisation

    def wrote_layer(self, index: int) -> None:
        """A layer register was written; ``index`` into the flat region."""
        self._written[index] = self._initialisation
        self._configured = True

    def wrote_layer_count(self) -> None:
        """LCNT_MAX was written; the other quadrants' belong to the same initialisation."""
        self._initialisation += self._configured
        self._configured = False

    def find(self, groups: list[int], layers: int) -> list[int]:
        """Addresses of stale registers of the first layers, in some quadrants."""
        if not self._configured:
            return []
        words = self.memory.arrays[self.region.name]
        old = (self._written < self._initialisation).reshape(words.shape) & (words != 0)
        return [
            int(self.region.address(group, unit, entry))
            for group, unit, entry, _ in np.argwhere(old).tolist()
            if group in groups and entry < layers
        ]

    def warning(self, groups: list[int], layers: int) -> str | None:
        """What is stale, by name; None when nothing is."""
        found = self.find(groups, layers)
        if not found:
            return None
        names = []
        for address in found[:SHOWN]:
            place = self.memory.device.locate(address)
            register = self.memory.device.register(place)
            name = register.name if register else f"register {place.unit}"
            word = int(self.memory.read(address)[0])
            names.append(
                f"{name} of layer {place.entry} in quadrant {place.group} (0x{address:08x}) is "
                f"0x{word:08x}"
            )
        more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        return (
            f"registers left over from another network: {'; '.join(names)}{more}. They were not "
            "written since the last cnn_init; reset the accelerator (GCFR.reg3) or write them"
        )
