"""A small object store over HTTP, and a correct driver of it: what remote cases are tested with."""
