"""Programs that others wrote: their traces replayed, faults put into them, registers in words."""
