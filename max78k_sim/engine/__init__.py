"""The compiled kernels: arrays and scalars in, arrays out; checks stay outside."""
