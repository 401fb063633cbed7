"""The cases, a module a group; `_all` joins them."""
