"""Side-by-side measurements against other software."""
