"""Words from a microphone or a sound file in a few lines of Python.

python examples/listen.py                       the default microphone, the shipped bundle
python examples/listen.py BUNDLE FILE.wav       a file
"""

import sys

from kwspot.runtime import KeywordSpotter, KwspotError, load_bundle, microphone_blocks, wav_blocks

bundle, *files = sys.argv[1:] or ["commands"]
spotter = KeywordSpotter(load_bundle(bundle))


def show(detections):
    for detection in detections:
        print(f"{detection.at_s:8.2f} s  {detection.label}  {detection.score:.2f}", flush=True)


try:
    for block in wav_blocks(files[0]) if files else microphone_blocks():
        show(spotter.push(block))
    show(spotter.finish())
except KeyboardInterrupt:  # Ctrl-C, the way to end it
    pass
except KwspotError as error:  # no microphone, a file that is not sound: one line that says what to do
    sys.exit(str(error))
