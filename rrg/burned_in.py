"""Whether text that may name somebody is likely in the pixels, by the header."""

from typing import Protocol

_STORAGE = "1.2.840.10008.5.1.4.1.1."
SCREEN_CLASSES = {_STORAGE + end for end in ("6.1", "3.1", "6", "3", "14.1", "7", "7.1", "7.2", "7.3", "7.4")}
"""Ultrasound (also the retired classes), intravascular OCT, secondary capture (DICOM PS3.6, Annex A)."""
SCREENS = ("SCREEN SAVE", "SCREENSAVE", "SCREEN_SAVE", "SCREEN CAPTURE", "SCREENSHOT", "DOSE_INFO", "CT_SOM5 PROT")
"""Parts of Image Type that scanners give to pictures of a screen: saved screens, dose tables, patient protocols."""
SCREEN_MODALITIES = {"US", "IVUS", "OT", "DOC", "SC"}


class Told(Protocol):
    """What `likely_burned_in` looks at; a `rrg.dicom.Header` has it."""

    @property
    def burned_in(self) -> bool:
        """Burned In Annotation is YES."""

    @property
    def sop_class(self) -> str:
        """SOP Class UID; empty for what is no DICOM."""

    @property
    def modality(self) -> str:
        """Modality, upper case."""

    @property
    def image_type(self) -> tuple[str, ...]:
        """Image Type, upper case."""


def likely_burned_in(header: Told) -> bool:
    """Text that may name somebody is likely in the pixels: Burned In Annotation YES, ultrasound, saved screens.

    Nobody can tell from a header that there is none; a Burned In Annotation of NO is a claim and does not clear these.
    """
    return (
        header.burned_in
        or header.sop_class in SCREEN_CLASSES
        or (bool(header.sop_class) and header.modality in SCREEN_MODALITIES)
        or any(screen in part for part in header.image_type for screen in SCREENS)
    )
