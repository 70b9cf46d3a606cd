"""``make bench``: how fast it is, against what, and the goals that are asserted.

Machines are shared and noisy: each figure is the best of several, competitors take turns in one
process, and what is asserted of speed is a ratio of two figures of one run.
"""
