"""Command lines: parse, call, show. What is called lives in the other packages."""
