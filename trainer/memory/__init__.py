"""Where the backward pass finds what it needs: in data memory, copied, or computed again."""
