"""The chip as a processor reaches it, access by access; in words: docs/bus.md."""

from .bus import Bus
from .faults import IllegalAccess

__all__ = ["Bus", "IllegalAccess"]
