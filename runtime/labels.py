"""The two labels that are no words, named as the folders of Google's test set are."""

UNKNOWN = "_unknown_"
"""None of these words."""

SILENCE = "_silence_"
"""Nothing said."""

BACKGROUND_LABELS = (UNKNOWN, SILENCE)
"""They never fire."""
