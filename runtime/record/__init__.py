"""`kwspot record`: utterances of a word from the microphone into a data folder."""
