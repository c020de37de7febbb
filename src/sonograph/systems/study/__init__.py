"""Studies of learning itself: which data teaches, how far a curve will rise, what theory says."""
