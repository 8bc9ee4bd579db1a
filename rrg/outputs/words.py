"""What a page says, in German and English: (German, English)."""

WORDS: dict[str, tuple[str, str]] = {
    "soft": ("Weichteil", "Soft tissue"),
    "lung": ("Lunge", "Lung"),
    "bone": ("Knochen", "Bone"),
    "window": ("Fenster", "Window"),
    "boxes": ("Alle Boxen", "All boxes"),
    "reference": ("Referenz", "Reference"),
    "reference_noun": ("Referenz", "Reference"),
    "series": ("Serie", "series"),
    "slice": ("Schicht", "slice"),
    "picture": ("Bild", "picture"),
    "image": ("Bild", "image"),
    "statement": ("Aussage", "statement"),
    "statements": ("Aussagen", "statements"),
    "box_noun": ("Box", "box"),
    "boxes_noun": ("Boxen", "boxes"),
    "previous": ("Zurück", "Back"),
    "next": ("Weiter", "Next"),
    "all": ("Alle Bilder", "All pictures"),
    "list": ("Bilder", "Pictures"),
    "nothing": ("Keine Bilder.", "No pictures."),
    "empty": ("(keine Antwort)", "(no answer)"),
    "left_out": ("weitere Bilder passten nicht auf diese Seite.", "more pictures did not fit on this page."),
    "confidence": ("Sicherheit", "confidence"),
    "draft": ("Berichtsentwurf der Untersuchung", "Draft report of the study"),
    "finding": ("Befunde", "Findings"),
    "other": ("Weiteres", "Other"),
    "normal": ("Unauffällig", "Unremarkable"),
    "denied": ("Nicht nachweisbar", "Not seen"),
    "contradictions": ("Widersprüche", "Contradictions"),
    "no_statements": ("Keine Aussage.", "No statement."),
    "is_it_right": ("Stimmt das?", "Is this right?"),
    "right": ("Richtig", "Right"),
    "wrong": ("Falsch", "Wrong"),
    "unclear": ("Unklar", "Unclear"),
    "save_csv": ("CSV sichern", "Save CSV"),
    "picture_missing": ("Bild nicht gefunden oder nicht lesbar", "picture not found, or not readable"),
    "picture_unnamed": ("die Referenz nennt kein Bild", "the reference names no picture"),
    "no_prediction": ("keine Vorhersage", "no prediction"),
    "unparsed": ("nicht lesbar", "can not be read"),
    "scores": ("Werte", "Scores"),
    "frame": (
        "Boxen: Pixel der Originalschicht. Links und rechts sind die Seiten des Patienten; "
        "R, L, A, P, H, F am Bildrand: rechts, links, vorn, hinten, Kopf, Fuß.",
        "Boxes: pixels of the original slice. Left and right are the patient's; "
        "R, L, A, P, H, F at the picture's edge: right, left, front, back, head, foot.",
    ),
    "keys": (
        "← → Bilder · 1 2 3 Fenster · B Boxen · R Referenz · A alle · L Sprache · Tab Fundstellen · Esc lösen",
        "← → pictures · 1 2 3 window · B boxes · R reference · A all · L language · Tab findings · Esc release",
    ),
}
"""Words of the interface."""
KINDS: dict[str, tuple[str, str]] = {
    "report": ("Bericht", "Report"),
    "grounded-report": ("Bericht mit Fundstellen", "Grounded report"),
    "vqa": ("Frage", "Question"),
    "detect": ("Strukturen", "Structures"),
    "phrase-to-box": ("Wo ist es?", "Where is it?"),
    "box-to-phrase": ("Was ist es?", "What is it?"),
    "masks": ("Masken", "Masks"),
    "cited": ("Befundtext zu diesem Bild", "Report on this slice"),
    "study-report": ("Berichtsentwurf der Untersuchung", "Draft report of the study"),
}
"""Headings of cards, by task."""
FLAGS: dict[str, tuple[str, str]] = {
    "malformed_box": ("unlesbare Box", "unreadable box"),
    "cut": ("abgeschnitten", "cut off"),
    "contradictions": ("Widersprüche", "contradictions"),
    "other_modality": ("andere Modalität als gelernt: ohne Wert", "another modality than learnt: worthless"),
    "other_body_part": ("andere Körperregion", "another part of the body"),
    "rules": ("von Regeln", "by rules"),
    "shuffled_image": ("Kontrolle: fremdes Bild", "control: another patient's picture"),
    "no_image": ("Kontrolle: ohne Bild", "control: no picture"),
}
"""Flags of predictions and masks."""
