"""Where sound comes from: files, folders of recordings, standard input, the microphone."""
