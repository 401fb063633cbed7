"""Any other fsspec filesystem, by its protocol as a storage driver."""
