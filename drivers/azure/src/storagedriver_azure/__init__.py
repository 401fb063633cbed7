"""Azure Blob Storage as a storage driver."""
