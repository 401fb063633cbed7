"""OCI and Docker registry on a storage driver."""
