"""DOING IT: approved orders in, fills and positions out. Each order once, each position protected."""
