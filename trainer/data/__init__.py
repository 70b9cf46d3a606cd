"""Data sets, and what they are made of; fashion.npz: see LICENSE-fashion-mnist.txt."""
