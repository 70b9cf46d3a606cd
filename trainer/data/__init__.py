"""Data shipped with the package; see LICENSE-fashion-mnist.txt."""
