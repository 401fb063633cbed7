"""The serving side of the protocol: any configured storage, for `remote` drivers elsewhere."""
