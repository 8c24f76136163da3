"""`kwspot listen`: options, configuration and the loop that joins sound, detector and sinks."""
