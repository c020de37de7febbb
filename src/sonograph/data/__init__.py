"""Real sound in: fetching, opening, splitting, mixing, batching and sharding of clips."""
