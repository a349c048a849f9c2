"""Tests, as packages so that they can share builders and servers by import."""
