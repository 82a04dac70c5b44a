"""Read and check checkpoints, and build the network and the preprocessing from them. Does not use Lightning."""
