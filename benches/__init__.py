"""Benchmarks beside their peers; `make bench` measures, `make bench-check` asserts the floors."""
