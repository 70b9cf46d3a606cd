"""The peripherals at 0x40000000: ``table.py`` lists them; only real behaviour is code."""
