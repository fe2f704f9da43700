"""CheckpointView -> model folder."""
