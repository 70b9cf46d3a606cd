"""The chips, as values.  Adding one is a file here and a row in DEVICES."""

from ..device import Device
from ..errors import InputError
from .max78000 import MAX78000
from .max78002 import MAX78002

DEVICES = (MAX78000, MAX78002)


def find_device(device: str | Device) -> Device:
    """A device by its name (any case); a Device is returned as it is."""
    if isinstance(device, Device):
        return device
    for known in DEVICES:
        if known.name == str(device).upper():
            return known
    names = ", ".join(known.name for known in DEVICES)
    raise InputError(f"device {device!r} is not known; the devices are: {names}")
