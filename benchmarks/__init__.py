"""Side-by-side measurements: ratios from one run, kept in benchmarks/results.json."""
