"""The training step as tables and C: what lies where, in what order, in which bytes."""
