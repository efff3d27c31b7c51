"""Frame stores: drives resampled to the network input, in arrays that are read at once."""
