"""The fetus of an age: how big it is, how it lies, and the solids of trunk, head and limbs."""
