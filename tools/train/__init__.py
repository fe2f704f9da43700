"""The reference PyTorch model, the corpus and the recipe of the pocket model."""
