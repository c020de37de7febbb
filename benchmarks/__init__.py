"""One file a comparison; `main()` answers rows as `benchmarks.timing` makes them."""
