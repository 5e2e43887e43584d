"""From a picture to the ink on it, and to the 28×28 images that the network reads."""
