"""One frame: a scene and a probe become tables, paths, scanlines, images and maps.

``renderer`` is the way in; ``kernels`` are the stages in the order of the data, made of the scalar functions in
``physics`` and run by ``backends``. May import ``scene`` and ``probe``.
"""
