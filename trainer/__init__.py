"""Learning on MAX78000: data, pretraining on a host, and training on the chip's own memories."""
