"""Training on this computer, for the chip: real weights, and what makes integers of them."""
