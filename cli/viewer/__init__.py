"""``ussim view``: a page on which a probe is moved over a scene and its image follows."""
