"""Conformance suite and benchmarks for storage drivers."""
