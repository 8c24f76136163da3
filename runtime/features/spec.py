"""The one description of how sound becomes features.

A :class:`FeatureSpec` is frozen, travels in every run and bundle, and every
length in the kit is derived from it.
"""

from __future__ import annotations

import dataclasses

from kwspot.runtime.errors import ConfigError

INT16_FULL_SCALE = 32768
"""An int16 sample of this size would be 1.0; sound is divided by it, once, in the features."""

FEATURE_KINDS = ("mfcc", "log-mel")


@dataclasses.dataclass(frozen=True, slots=True)
class FeatureSpec:
    """How sound becomes frames of features.

    Frame ``k`` sees exactly the samples ``k * hop_samples`` up to
    ``k * hop_samples + window_samples``; nothing is padded.

    Parameters
    ----------
    sample_rate_hz
        Rate of the sound.
    window_ms, hop_ms
        Length of the window under one FFT, and the step between two windows.
        Both must be a whole number of samples.
    mel_bands
        Number of triangular Slaney mel filters between `low_hz` and `high_hz`.
    coefficients
        Values per frame: the first so many of the orthonormal DCT-II for
        ``kind="mfcc"``; must equal `mel_bands` for ``kind="log-mel"``.
    log_floor
        Mel power below this counts as this, so digital silence is finite. The
        default is about 96 dB below full-scale speech, the noise of 16 bits.
    kind
        ``"mfcc"``, or ``"log-mel"``: the same frames before the DCT, for
        networks that convolve over frequency.

    Raises
    ------
    ConfigError
        If a value is out of range; the message names it.
    """

    sample_rate_hz: int = 16_000
    window_ms: float = 30.0
    hop_ms: float = 20.0
    mel_bands: int = 40
    coefficients: int = 20
    low_hz: float = 20.0
    high_hz: float = 7_600.0
    log_floor: float = 1e-6
    kind: str = "mfcc"

    def __post_init__(self) -> None:
        for name in ("window_ms", "hop_ms"):
            samples = getattr(self, name) * self.sample_rate_hz / 1000
            if samples < 1 or abs(samples - round(samples)) > 1e-6:
                raise ConfigError(
                    f"{name} = {getattr(self, name)} is {samples:g} samples at "
                    f"{self.sample_rate_hz} Hz; expected a whole number of at least 1"
                )
        if self.kind not in FEATURE_KINDS:
            raise ConfigError(f"kind = {self.kind!r} is unknown; expected one of {', '.join(FEATURE_KINDS)}")
        if not 1 <= self.coefficients <= self.mel_bands:
            raise ConfigError(f"coefficients = {self.coefficients}; expected 1 to mel_bands = {self.mel_bands}")
        if self.kind == "log-mel" and self.coefficients != self.mel_bands:
            raise ConfigError(
                f"coefficients = {self.coefficients} with kind = 'log-mel'; expected mel_bands = {self.mel_bands}"
            )
        if not 0 <= self.low_hz < self.high_hz <= self.sample_rate_hz / 2:
            raise ConfigError(
                f"low_hz = {self.low_hz:g}, high_hz = {self.high_hz:g}; expected "
                f"0 <= low_hz < high_hz <= {self.sample_rate_hz / 2:g}"
            )
        if not self.log_floor > 0:
            raise ConfigError(f"log_floor = {self.log_floor:g}; expected more than 0")

    @property
    def window_samples(self) -> int:
        """Return the samples under one FFT."""
        return round(self.window_ms * self.sample_rate_hz / 1000)

    @property
    def hop_samples(self) -> int:
        """Return the samples from one window to the next."""
        return round(self.hop_ms * self.sample_rate_hz / 1000)

    def frames_in(self, samples: int) -> int:
        """Count the whole windows in so many samples."""
        return max(0, (samples - self.window_samples) // self.hop_samples + 1)

    def samples_in(self, frames: int) -> int:
        """Return the samples that so many windows cover."""
        return (frames - 1) * self.hop_samples + self.window_samples if frames > 0 else 0
