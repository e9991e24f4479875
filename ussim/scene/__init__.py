"""What is scanned: closed surfaces filled with tissues, the sweeps over them, their files and checks.

In come files and arrays that others made; nothing here knows a probe or an image.
"""
