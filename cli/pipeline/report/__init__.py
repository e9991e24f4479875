"""The page that tells what a pipeline did: ``page.py`` puts together what the other files draw and read."""
