"""A whole C project with the vendor's functions: tables, main.c, log."""
