"""The field as data: which systems there are, and where each one stands."""
