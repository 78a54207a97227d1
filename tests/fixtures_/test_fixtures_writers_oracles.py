"""What others' readers say of our artefacts: every format by a parser or validator that nobody here wrote."""

from __future__ import annotations

import configparser
import csv
import email.policy
import io
import json
import mailbox
import re
import wave
from email.message import EmailMessage
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree as ET

import hl7
import ldif
import pydicom
import pytest
import pyx12.params
import pyx12.x12n_document
from PIL import Image

from phi_fixtures import identifiers
from phi_fixtures.care import encounters
from phi_fixtures.people import Hospital, Patient
from phi_fixtures.population import cohort
from phi_fixtures.writers import WRITERS, Artefact, Cast
from phi_fixtures.writers.imaging import COLUMNS, ROWS
from phi_fixtures.writers.screens import SIZE

DAY = "2026-03-02"


@pytest.fixture(scope="module")
def cast() -> Cast:
    hospital = Hospital(b"oracle", 20_411)
    return Cast(hospital, list(cohort(hospital, 14)))


@pytest.fixture(scope="module")
def patients(cast: Cast) -> list[Patient]:
    return list(cast.patients)


def only(name: str, cast: Cast) -> str:
    """The text of the one file that a writer makes."""
    (artefact,) = WRITERS[name](cast)
    return artefact.content.decode("utf-8")


def files(name: str, cast: Cast) -> list[Artefact]:
    return list(WRITERS[name](cast))


# --- messages and claims ------------------------------------------------------------------------------


def test_hl7_reads_every_message_of_the_batch(cast: Cast, patients: list[Patient]) -> None:
    text = only("hl7", cast)
    assert hl7.isfile(text)
    (batch,) = hl7.parse_file(text)
    assert int(str(hl7.parse_hl7(text).trailer[1])) == 1
    messages = list(batch)
    admissions = [each for each in messages if str(each["MSH"][0][9][0][0]) == "ADT"]
    for patient, message in zip(patients, admissions, strict=True):
        assert message.extract_field("PID", 1, 3, 1, 1) == patient.mrn
        assert message.extract_field("PID", 1, 5, 1, 1) == patient.family
        assert message.extract_field("PID", 1, 7) == f"{patient.dob:%Y%m%d}"
        assert message.extract_field("PID", 1, 19) == patient.ssn
        assert message.extract_field("PID", 1, 18) == patient.account
        assert message.extract_field("DG1", 1, 3, 1, 1) == encounters(patient)[-1].diagnosis.code


def test_hl7_gets_results_back_unescaped(cast: Cast, patients: list[Patient]) -> None:
    (batch,) = hl7.parse_file(only("hl7", cast))
    results = [each for each in batch if str(each["MSH"][0][9][0][0]) == "ORU"]
    tested = [patient for patient in patients if encounters(patient)[-1].results]
    assert len(results) == len(tested) > 5
    for patient, message in zip(tested, results, strict=True):
        seen = encounters(patient)[-1]
        assert len(message["OBX"]) == len(seen.results)
        assert message.extract_field("OBX", 1, 5) == seen.results[0].value
        assert message.unescape(message.extract_field("NTE", 1, 3)) == seen.note.replace("\n", " ")


def test_the_batch_counts_its_messages(cast: Cast) -> None:
    text = only("hl7", cast)
    (count,) = re.findall(r"\rBTS\|(\d+)\r", text)
    assert int(count) == text.count("\rMSH|")


@pytest.mark.parametrize("number", [1, 25])
def test_x12valid_accepts_the_claims(number: int) -> None:
    hospital = Hospital(b"claims", number)
    text = only("x12-837", Cast(hospital, list(cohort(hospital, number))))
    report = io.StringIO()
    accepted = pyx12.x12n_document.x12n_document(
        param=pyx12.params.params(), src_file=io.StringIO(text), fd_997=report, fd_html=None
    )
    assert accepted, report.getvalue()
    assert "IK5*A" in report.getvalue() or "AK9*A" in report.getvalue()


def test_x12valid_refuses_a_claim_that_was_tampered_with(cast: Cast) -> None:
    """So that its silence means something."""
    text = only("x12-837", cast).replace("*HC:", "*ZZZ:", 1)
    assert not pyx12.x12n_document.x12n_document(
        param=pyx12.params.params(), src_file=io.StringIO(text), fd_997=io.StringIO(), fd_html=None
    )


def test_a_claims_lines_add_up_to_its_charge(cast: Cast) -> None:
    charge = 0.0
    for segment in (line.split("*") for line in only("x12-837", cast).split("~\n")):
        if segment[0] == "CLM":
            assert charge == pytest.approx(0)
            charge = float(segment[2])
        if segment[0] == "SV1":
            charge -= float(segment[2])
    assert charge == pytest.approx(0)


def test_fhir_resources_validates_every_bundle(cast: Cast, patients: list[Patient]) -> None:
    """By the models of 4.3.0 (R4B), the nearest to 4.0.1 that the library has."""
    from fhir.resources.R4B.bundle import Bundle  # noqa: PLC0415  # a second and a half

    for patient, artefact in zip(patients, files("fhir", cast), strict=True):
        bundle: Any = Bundle.model_validate_json(artefact.content)
        resource = bundle.entry[0].resource
        assert resource.birthDate == patient.dob
        assert patient.ssn in {each.value for each in resource.identifier}


def test_every_reference_is_to_an_entry_of_the_bundle(cast: Cast) -> None:
    for artefact in files("fhir", cast):
        text = artefact.content.decode("utf-8")
        urls = [entry["fullUrl"] for entry in json.loads(text)["entry"]]
        assert len(set(urls)) == len(urls)
        assert set(re.findall(r'"reference": "([^"]+)"', text)) <= set(urls)


# --- directory, mail and telephones -------------------------------------------------------------------


def test_an_ldif_parser_reads_the_directory_back(cast: Cast, patients: list[Patient]) -> None:
    records = dict(ldif.LDIFParser(io.BytesIO(only("ldap-directory", cast).encode())).parse())
    for patient in patients:
        user = patient.email.partition("@")[0]
        record = records[f"uid={user},ou=patients,dc=mercyvalley,dc=example,dc=org"]
        assert record["employeeNumber"] == [patient.mrn]
        assert record["cn"] == [patient.full_name]
        assert record["description"][1] == f"Plan {patient.member_id}\nenrolled at the desk"


def test_the_directory_is_folded_and_ascii(cast: Cast) -> None:
    lines = only("ldap-directory", cast).splitlines()
    assert all(len(line) <= 76 and line.isascii() for line in lines)
    assert lines[0] == "version: 1"


def test_the_mailbox_module_opens_the_archive(tmp_path: Path, cast: Cast, patients: list[Patient]) -> None:
    for folder in ("cur", "new", "tmp"):
        (tmp_path / folder).mkdir()
    for artefact in files("maildir", cast):
        path = PurePosixPath(artefact.path)
        (tmp_path / path.parent.name / path.name).write_bytes(artefact.content)
    read = {str(message["From"]): message for message in map(modern, mailbox.Maildir(tmp_path))}
    assert len(read) == len(patients)
    for patient in patients:
        message = read[f"{patient.full_name} <{patient.email}>"]
        assert not message.defects
        (attachment,) = message.iter_attachments()
        assert isinstance(attachment, EmailMessage)
        assert attachment.get_content().rstrip("\n") == encounters(patient)[-1].note
    assert {message.get_flags() for message in mailbox.Maildir(tmp_path)} <= {"", "S", "RS"}


def modern(message: mailbox.MaildirMessage) -> EmailMessage:
    """The message as email's newer classes have it."""
    return email.message_from_bytes(bytes(message), policy=email.policy.default)


def test_wave_and_configparser_read_the_voicemail(cast: Cast, patients: list[Patient]) -> None:
    by_ending: dict[str, list[Artefact]] = {".txt": [], ".wav": [], ".vtt": []}
    for artefact in files("voicemail", cast):
        by_ending[artefact.path[-4:]].append(artefact)
    for patient, facts, sound, words in zip(patients, *by_ending.values(), strict=True):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(facts.content.decode())
        assert parser["message"]["callerid"] == f'"{patient.full_name}" <{patient.phone}>'
        with wave.open(io.BytesIO(sound.content)) as recording:
            assert (recording.getframerate(), recording.getnchannels()) == (8000, 1)
            assert len(recording.readframes(recording.getnframes())) == 8000
        assert words.content.startswith(b"WEBVTT\n\n") and words.content.count(b" --> ") == 4


def test_the_recordings_tags_are_where_riff_readers_look(cast: Cast, patients: list[Patient]) -> None:
    sounds = [artefact for artefact in files("voicemail", cast) if artefact.path.endswith(".wav")]
    for patient, sound in zip(patients, sounds, strict=True):
        content = sound.content
        assert int.from_bytes(content[4:8], "little") == len(content) - 8
        tags = dict(riff_info(content))
        assert patient.mrn in tags["ICMT"] and patient.full_name in tags["INAM"]


def riff_info(content: bytes) -> list[tuple[str, str]]:
    """The entries of LIST/INFO, by the rules of the RIFF specification."""
    at, tags = 12, []
    while at < len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        if name == b"LIST":
            inside, end = at + 12, at + 8 + size
            while inside < end:
                length = int.from_bytes(content[inside + 4 : inside + 8], "little")
                text = content[inside + 8 : inside + 8 + length].rstrip(b"\0").decode()
                tags.append((content[inside : inside + 4].decode(), text))
                inside += 8 + length + length % 2
        at += 8 + size + size % 2
    return tags


# --- pictures -----------------------------------------------------------------------------------------


def test_pillow_opens_the_screenshots(cast: Cast, patients: list[Patient]) -> None:
    for patient, artefact in zip(patients, files("screenshot", cast), strict=True):
        with Image.open(io.BytesIO(artefact.content)) as picture:
            picture.verify()
        with Image.open(io.BytesIO(artefact.content)) as picture:
            picture.load()
            assert (picture.format, picture.size) == ("PNG", SIZE)
            assert picture.info["Title"].endswith(f"{patient.display} - MRN {patient.mrn}")
            shades = picture.convert("RGB").getcolors()
            assert shades is not None and 4 <= len(shades) <= 6


def test_a_screenshot_shows_what_was_drawn(cast: Cast, patients: list[Patient]) -> None:
    from phi_fixtures.writers.screens import chart  # noqa: PLC0415
    from phi_fixtures.writers.shares import clinician, draws, working_time  # noqa: PLC0415

    patient = patients[3]
    words = draws(cast, "screenshot", patient)
    when = working_time(cast, words[0], words[1] % 14)
    title = f"Mercy Valley EHR - {patient.display} - MRN {patient.mrn}"
    drawn = chart(patient, when, clinician(cast, words[2]), title)
    with Image.open(io.BytesIO(files("screenshot", cast)[3].content)) as picture:
        assert picture.convert("RGB").tobytes() == drawn.convert("RGB").tobytes()


def test_pydicom_reads_the_radiographs(cast: Cast, patients: list[Patient]) -> None:
    for patient, artefact in zip(patients, files("dicom", cast), strict=True):
        dataset = pydicom.dcmread(io.BytesIO(artefact.content))  # as strict as it gets: no force
        assert dataset.PatientID == patient.mrn
        assert (dataset.PatientName.family_name, dataset.PatientName.given_name) == (
            patient.family,
            patient.given,
        )
        assert dataset.PatientBirthDate == f"{patient.dob:%Y%m%d}"
        assert len(dataset.PixelData) == ROWS * COLUMNS
        assert dataset.BurnedInAnnotation == "YES"
        assert identifiers.is_never_real_dicom_uid(dataset.StudyInstanceUID)


def test_the_burnt_in_lines_are_in_the_pixels(cast: Cast) -> None:
    for artefact in files("dicom", cast)[:3]:
        pixels = pydicom.dcmread(io.BytesIO(artefact.content)).PixelData
        assert pixels[: COLUMNS * 32].count(255) > 300
        assert pixels[COLUMNS * 34 :].count(255) == 0


# --- logs, inventories and lists ----------------------------------------------------------------------


def test_each_audit_message_is_well_formed_and_names_one_patient(cast: Cast, patients: list[Patient]) -> None:
    header = re.compile(r"<85>1 2026-03-02T[\d:]{8}\.000Z ehr1 ehr 812 IHE\+RFC-3881 - (<\?xml.*)")
    named = {patient.mrn: patient.display for patient in patients}
    seen = set()
    for line in only("audit-trail", cast).splitlines():
        match = header.fullmatch(line)
        assert match
        message = ET.fromstring(match[1])  # noqa: S314  # our own
        subject = message.find("ParticipantObjectIdentification")
        assert subject is not None
        assert subject.findtext("ParticipantObjectName") == named[subject.attrib["ParticipantObjectID"]]
        seen.add(subject.attrib["ParticipantObjectID"])
    assert seen == set(named)


@pytest.mark.parametrize("name", ["access-report", "call-index"])
def test_csv_reads_rows_of_one_width_newest_first(name: str, cast: Cast, patients: list[Patient]) -> None:
    rows = list(csv.DictReader(io.StringIO(only(name, cast))))
    assert all(None not in row and None not in row.values() for row in rows)
    assert {row["mrn"] for row in rows} == {patient.mrn for patient in patients}
    times = [row.get("accessed_utc") or row["started_utc"] for row in rows]
    assert times == sorted(times, reverse=True)


def test_json_reads_the_inventory_and_every_event(cast: Cast, patients: list[Patient]) -> None:
    devices = json.loads(only("mdm-inventory", cast))["value"]
    assert [device["emailAddress"] for device in devices] == [patient.email for patient in patients]
    assert all(device["wiFiMacAddress"].startswith("00005E0053") for device in devices)
    events = [json.loads(line) for line in only("endpoint-log", cast).splitlines()]
    times = [event["@timestamp"] for event in events]
    assert times == sorted(times) and len(events) == 2 * len(patients)


def test_the_replicas_listing_has_rsyncs_columns(cast: Cast, patients: list[Patient]) -> None:
    column = re.compile(r"[d-][rwx-]{9} [ \d,]{14} \d{4}/\d\d/\d\d \d\d:\d\d:\d\d \S+")
    lines = only("dr-listing", cast).splitlines()
    assert all(column.fullmatch(line) for line in lines)
    assert len(lines) == 1 + 3 * len(patients)


# --- scanners -----------------------------------------------------------------------------------------

# Which of the identifiers that Presidio's own patterns support stand in which artefact as it would read it.
SCANNED = {
    "hl7": ("ssn", "phone", "email", "kin_phone"),
    "fhir": ("ssn", "phone", "email", "fax", "kin_phone", "portal_url"),
    "ldap-directory": ("phone", "email"),
    "maildir": ("phone", "email"),
    "call-index": ("phone",),
    "mdm-inventory": ("phone", "email"),
    "voicemail": ("phone",),
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCANNED)
def test_presidio_sees_the_identifiers_it_supports(
    name: str, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a language model: NoOpNlpEngine, so patterns and checks alone."""
    import tldextract  # noqa: PLC0415
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry  # noqa: PLC0415  # a second
    from presidio_analyzer import predefined_recognizers as known  # noqa: PLC0415
    from presidio_analyzer.nlp_engine import NoOpNlpEngine  # noqa: PLC0415

    # It would fetch the list of public suffixes; the copy it carries will do.
    monkeypatch.setattr(tldextract, "extract", tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None))
    nothing = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    nothing.load()
    recognizers = [
        *(known.UsSsnRecognizer(), known.PhoneRecognizer(supported_regions=("US",))),
        *(known.EmailRecognizer(), known.IpRecognizer(), known.UrlRecognizer()),
    ]
    engine = AnalyzerEngine(
        registry=RecognizerRegistry(recognizers=recognizers), nlp_engine=nothing, supported_languages=["en"]
    )
    for artefact in files(name, cast):
        if artefact.path.endswith(".wav"):
            continue
        text = artefact.content.decode("utf-8")
        found = "\n".join(text[each.start : each.end] for each in engine.analyze(text, language="en"))
        wanted = [field for field in SCANNED[name] if field in artefact.fields]
        assert wanted
        for patient in artefact.patients:
            missed = [field for field, value in patient.texts(wanted).items() if value and value not in found]
            assert not missed, artefact.path
