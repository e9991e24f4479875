"""Solids as signed distances, and the triangles that bound them. Knows no anatomy."""
