"""Scripts over the library, run as `python -m tools.NAME` from the checkout."""
