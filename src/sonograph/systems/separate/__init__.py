"""Systems that pull sounds apart."""
