"""Tables of the benchmarks: one command each, from the data sets' own files."""
