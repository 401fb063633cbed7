"""Pages and pictures of `docs/` that come from the code; `scripts/reference.py` writes them."""
