"""A run from start to stop: planting, access, the engine's containers and what is kept on disk."""
