"""The beam of an aperture: what a scanline sees when many elements look at each point from many directions.

``tables`` turns settings into what the stages read (``inputs``). The stages, in the order of the data: ``sheets``
(media, travel times and walls on straight lines), ``transmit`` (rays of the aperture carry the amplitude that passes),
``gather`` (both ways together, for every point), ``scatterers`` (each once, with the weight of the beam where it lies,
on the ``lattice``), ``reflect`` (paths over mirrors; what they see: ``reverberate``), ``walls``. ``lines`` runs them on
a backend.
"""
