"""The same training on several sides, step by step, and what the emulated one costs."""
