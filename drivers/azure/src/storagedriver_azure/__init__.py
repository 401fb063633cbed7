"""Azure Blob Storage as a storage driver."""

from __future__ import annotations

from storagedriver_azure._config import AzureConfig, AzureCredentials

__all__ = ["AzureConfig", "AzureCredentials"]
