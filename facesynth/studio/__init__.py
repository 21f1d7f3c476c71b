"""The studio: a page in the browser where one draws, served from this machine, and the faces that the models make of it.

::

    page (static/) -- strokes --> condition -- WebSocket --> session.py -- engine.py --> face -- WebSocket --> page
    a picture -- POST --> pictures.py --> a sketch or a label map

:mod:`facesynth.studio.guard` decides who may talk to the server. The page is plain JavaScript modules; ``static/engine.js`` is
the only one that knows of the server.
"""
