"""Benchmarks of gcore-etl and its alternatives. `python -m benchmarks --help` lists them."""
