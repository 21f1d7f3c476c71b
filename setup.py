"""Finds the packages, so that none can be left out of a wheel; all other metadata is in setup.cfg."""

from setuptools import find_packages, setup

found = find_packages(include=["facesynth", "facesynth.*"])
command_line = [f"facesynth.{name}" for name in find_packages(include=["cli", "cli.*"])]
setup(packages=found + command_line)
