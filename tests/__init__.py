"""The tests; a package, so that parts of it can be run with ``python -m`` and share helpers."""
