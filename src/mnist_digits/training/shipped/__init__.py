"""Making the networks that come with the package, from nothing: `digits models`."""
