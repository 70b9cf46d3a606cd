"""C for the board, generated from the same plan and placements that the simulator uses."""
