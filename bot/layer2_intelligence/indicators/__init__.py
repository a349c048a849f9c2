"""Arrays in, numbers and shapes out."""
