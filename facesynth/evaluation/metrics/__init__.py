"""The arithmetic of the metrics: numpy arrays in, numbers out. Nothing here needs torch or a trained network."""
