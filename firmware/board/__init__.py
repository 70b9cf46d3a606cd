"""A board: an Arm program on an emulated Cortex-M4F, with the simulated accelerator on its bus.

``Board("build/mnist.elf").run()`` is all that most users need.  Needs the extra ``emulate``.
"""

from .board import Board
from .result import FirmwareError, Result

__all__ = ["Board", "FirmwareError", "Result"]
