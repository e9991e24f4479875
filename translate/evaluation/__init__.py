"""How good it is: the paper's protocol, its metrics, the texture of speckle, the report."""
