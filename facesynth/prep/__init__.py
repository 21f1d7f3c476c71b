"""Making datasets: label maps, sketches, the embedded sample, and the manifest that joins them."""
