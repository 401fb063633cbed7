"""Storage driver `remote`: a store behind a protocol, in another process; and the server of one."""
