"""Which sounds are alike? Vectors of an encoder, compared by angle."""
