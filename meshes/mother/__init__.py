"""The mother around it: uterus, placenta, cavity and the layers of her wall."""
