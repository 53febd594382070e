"""Carrying a model over an air gap: packing, unpacking, manifests."""
