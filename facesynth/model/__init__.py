"""Training pixel2style2pixel models from a dataset folder, and translating with them."""
