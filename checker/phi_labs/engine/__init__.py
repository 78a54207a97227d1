"""The container engine: containers, images, networks and exec streams, each call under a deadline."""
