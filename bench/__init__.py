"""Benchmarks: ratios of the product to something simpler, both measured in one run. Run them with `make bench`."""
