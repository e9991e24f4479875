"""Files of labelled volumes → voxels, place and names."""
