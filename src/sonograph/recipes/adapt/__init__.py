"""Training and claims of the ways to adapt a model: one file a system."""
