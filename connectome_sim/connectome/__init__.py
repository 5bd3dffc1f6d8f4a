"""The wiring diagram: the frozen value, the fly that it describes, where it comes from."""
