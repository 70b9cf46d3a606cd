"""``max78k run``: one inference through the simulated chip."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from ..latency import latency
from ..loading import read_sample, simulate_program
from .common import compiled, network_from, write_whole

SHOWN = 16  # values of an output that are printed


def main(options: Namespace) -> None:
    """Run a sample and print the final output."""
    network = network_from(options)
    outputs = simulate_program(compiled(network), read_sample(options.sample_input))
    if options.layers:
        file = Path(options.layers)
        write_whole(file, lambda name: np.savez_compressed(name, **dict[str, Any](outputs)))
    final = outputs["final"]
    cycles = latency(network).total
    if options.json:
        result = {
            "network": network.name,
            "shape": list(final.shape),
            "final": final.reshape(-1).tolist(),
            "argmax": int(final.reshape(-1).argmax()),
            "cycles": cycles,
        }
        print(json.dumps(result))
        return
    values = final.reshape(-1)
    more = f" ... ({len(values):,} values)" if len(values) > SHOWN else ""
    print(f"{network.name}: output {'x'.join(map(str, final.shape))} (CHW), {final.dtype}")
    print(" ".join(map(str, values[:SHOWN])) + more)
    print(f"largest: {int(values.argmax())}; {cycles:,} accelerator cycles (estimate)")
