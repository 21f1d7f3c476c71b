"""Face sketches and segmentation maps to photographs, around pixel2style2pixel.

``facesynth.prep`` makes datasets, ``facesynth.model`` trains and translates; the manifest of a dataset folder is all that
they share. Importing this package is cheap and loads no torch.
"""

__version__ = "0.1.0"
