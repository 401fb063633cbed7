"""Google Cloud Storage as a storage driver."""
