"""Presidio's pattern recognisers, called one by one: no language model, but its own context words, which raise scores.

Words are compared as they stand (lower case, no lemmas), which is what a tokenizer without a model gives.
"""

import logging
import sys
import time

import presidio_analyzer as pa
import spacy
from presidio_analyzer import predefined_recognizers as known
from presidio_analyzer.context_aware_enhancers import LemmaContextAwareEnhancer
from presidio_analyzer.nlp_engine import NlpArtifacts

logging.disable(logging.WARNING)
THRESHOLDS = (0.0, 0.3, 0.4, 0.5, 0.6)
# Its default regions, and those of the corpus that it does not look at by itself.
REGIONS = ("US", "GB", "DE", "FR", "IL", "IN", "CA", "BR", "ES", "IT", "AU", "PL", "NL")
NAMES = {
    "email": "EmailRecognizer", "phone": "PhoneRecognizer", "card": "CreditCardRecognizer", "iban": "IbanRecognizer", "us_ssn": "UsSsnRecognizer",
    "es_nif": "EsNifRecognizer", "es_nie": "EsNieRecognizer", "de_steuer_id": "DeTaxIdRecognizer", "it_codice_fiscale": "ItFiscalCodeRecognizer",
    "uk_nhs": "NhsRecognizer", "uk_nino": "UkNinoRecognizer", "pl_pesel": "PlPeselRecognizer", "se_personnummer": "SePersonnummerRecognizer",
    "fi_hetu": "FiPersonalIdentityCodeRecognizer", "in_aadhaar": "InAadhaarRecognizer", "ca_sin": "CaSinRecognizer", "au_tfn": "AuTfnRecognizer",
    "ip": "IpRecognizer", "mac": "MacAddressRecognizer",
}


def recognisers():
    """Name of our detector to Presidio's recogniser."""
    out = {}
    for ours, name in NAMES.items():
        made = getattr(known, name)
        out[ours] = made(supported_language="en", supported_regions=REGIONS) if ours == "phone" else made(supported_language="en")
    return out


class _Words:
    """The little that Presidio asks of a language engine."""

    def is_stopword(self, word, language):
        """No list of stop words: no word is left out."""
        return False

    def is_punct(self, word, language):
        """True for signs."""
        return not any(c.isalnum() for c in word)


_tokenizer = spacy.blank("en")


def _artifacts(text):
    tokens = _tokenizer(text)
    return NlpArtifacts(entities=[], tokens=tokens, tokens_indices=[t.idx for t in tokens], lemmas=[t.text.lower() for t in tokens], nlp_engine=_Words(), language="en")


def hits(all_recognisers, detector, texts):
    """[(start, end, score)] of each text, in characters; None when it has no recogniser for this."""
    recogniser = all_recognisers.get(detector)
    if recogniser is None:
        return None
    enhancer, out = LemmaContextAwareEnhancer(), []
    for text in texts:
        artifacts = _artifacts(text)
        found = recogniser.analyze(text, recogniser.supported_entities, artifacts) or []
        found = enhancer.enhance_using_context(text, found, artifacts, [recogniser])
        found = pa.EntityRecognizer.remove_duplicates(found)
        out.append([(f.start, f.end, f.score) for f in found])
    return out


def rate(path, size):
    """MB of text a second of processor time, with all of the recognisers above and their context words, cell by cell."""
    with open(path, encoding="utf-8") as f:
        text = f.read(size)
    cells, all_recognisers = text.split("\n"), recognisers()
    for detector in all_recognisers:
        hits(all_recognisers, detector, cells[:1])
    before = time.process_time()
    for detector in all_recognisers:
        hits(all_recognisers, detector, cells)
    return len(text.encode()) / (time.process_time() - before) / 1e6


if __name__ == "__main__":
    print(rate(sys.argv[1], int(sys.argv[2])))
