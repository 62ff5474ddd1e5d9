"""What a drift check costs, beside what people would use instead: `make bench`, docs/benchmarks.md."""
