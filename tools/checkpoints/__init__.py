"""One reader for each checkpoint layout; every one yields the same CheckpointView."""
