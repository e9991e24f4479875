"""A trained generator at work: on images, on stores, on other runtimes."""
