"""Evaluation: faces and the dataset that they were made from in; metrics with intervals, tables and a page out.

::

    pairs          which faces belong to which photos, label maps and drawings: joined by id
    networks       trained networks that describe pictures, with the digests of their weights
    measures       what is measured of every picture, batch by batch
    blocks         those measurements in files, so that a stopped evaluation continues
    summary        one number a metric, with its interval, from the measurements of all pictures
    tables, page   metrics.json, pictures.csv, Markdown, LaTeX, JUnit; report.html
    evaluate       all of that; :mod:`facesynth.evaluation.compare` compares several
    metrics/       the arithmetic, on arrays, without torch
"""
