"""Golden cases: what the vendor's generator computes, writes and expects, against this project."""
