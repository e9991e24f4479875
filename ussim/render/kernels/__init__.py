"""The stages of a frame as loop bodies over :mod:`ussim.render.physics`: trace, march, receive, scan-convert, maps."""
