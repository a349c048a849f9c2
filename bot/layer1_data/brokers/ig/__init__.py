"""IG: CFDs on shares, indices and commodities, over its REST interface."""
