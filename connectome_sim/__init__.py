"""Head-direction networks fitted to a connectome: read the wiring, fit the unknown parameters, measure, ablate, draw.

Importing the package does nothing but define it; what it offers lies in its modules.
"""

__version__ = "0.1.0"
