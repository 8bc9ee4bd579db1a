"""The attributes of DICOM that carry identity, and what rrg does with each."""

from typing import Literal

from pydicom.datadict import tag_for_keyword

from rrg.labels import TAGS

_THEMES = {
    "patient": """
        PatientName PatientID IssuerOfPatientID OtherPatientIDs
        OtherPatientIDsSequence OtherPatientNames PatientBirthName PatientMotherBirthName PatientBirthDate
        PatientBirthTime PatientAge PatientSex PatientSexNeutered PatientSize PatientWeight PatientAddress
        PatientTelephoneNumbers PatientTelecomInformation PatientInsurancePlanCodeSequence
        InsurancePlanIdentification PatientPrimaryLanguageCodeSequence
        PatientPrimaryLanguageModifierCodeSequence PatientReligiousPreference EthnicGroup Occupation
        MilitaryRank BranchOfService CountryOfResidence RegionOfResidence MedicalRecordLocator
        ReferencedPatientPhotoSequence ReferencedPatientSequence ReferencedPatientAliasSequence
        ResponsiblePerson ResponsibleOrganization AdditionalPatientHistory PatientComments PatientState
        PregnancyStatus LastMenstrualDate SmokingStatus MedicalAlerts Allergies SpecialNeeds PreMedication
        PatientTransportArrangements ConfidentialityConstraintOnPatientDataDescription
    """,
    "numbers": """
        AccessionNumber StudyID StudyIDIssuer AdmissionID IssuerOfAdmissionID IssuerOfAdmissionIDSequence
        ServiceEpisodeID ServiceEpisodeDescription IssuerOfServiceEpisodeID IssuerOfServiceEpisodeIDSequence
        CurrentPatientLocation PatientInstitutionResidence ScheduledPatientInstitutionResidence
        PlacerOrderNumberImagingServiceRequest FillerOrderNumberImagingServiceRequest RequestedProcedureID
        ScheduledProcedureStepID PerformedProcedureStepID OrderEnteredBy OrderEntererLocation
        OrderCallbackPhoneNumber OrderCallbackTelecomInformation ImagingServiceRequestComments
        RequestAttributesSequence SpecimenAccessionNumber SpecimenIdentifier SpecimenUID ContainerIdentifier
        ClinicalTrialSubjectID ClinicalTrialSubjectReadingID ClinicalTrialProtocolID ClinicalTrialProtocolName
        ClinicalTrialSiteID ClinicalTrialSiteName ClinicalTrialSponsorName ClinicalTrialCoordinatingCenterName
        ClinicalTrialTimePointID ClinicalTrialTimePointDescription ClinicalTrialSeriesID
        ClinicalTrialSeriesDescription ClinicalTrialProtocolEthicsCommitteeName
        ClinicalTrialProtocolEthicsCommitteeApprovalNumber
    """,
    "people": """
        ReferringPhysicianName ReferringPhysicianAddress ReferringPhysicianTelephoneNumbers
        ReferringPhysicianIdentificationSequence ConsultingPhysicianName
        ConsultingPhysicianIdentificationSequence PerformingPhysicianName
        PerformingPhysicianIdentificationSequence PhysiciansOfRecord PhysiciansOfRecordIdentificationSequence
        NameOfPhysiciansReadingStudy PhysiciansReadingStudyIdentificationSequence OperatorsName
        OperatorIdentificationSequence RequestingPhysician RequestingService ScheduledPerformingPhysicianName
        ScheduledPerformingPhysicianIdentificationSequence NamesOfIntendedRecipientsOfResults
        IntendedRecipientsOfResultsIdentificationSequence HumanPerformerName HumanPerformerOrganization
        ActualHumanPerformersSequence ScheduledHumanPerformersSequence PersonName PersonAddress
        PersonTelephoneNumbers PersonTelecomInformation PersonIdentificationCodeSequence VerifyingObserverName
        VerifyingObserverSequence VerifyingObserverIdentificationCodeSequence VerifyingOrganization
        AuthorObserverSequence ParticipantSequence CustodialOrganizationSequence ContentCreatorName
        ContentCreatorIdentificationCodeSequence ReviewerName CameraOwnerName
    """,
    "place and device": """
        InstitutionName InstitutionAddress InstitutionCodeSequence InstitutionalDepartmentName
        InstitutionalDepartmentTypeCodeSequence StationName StationAETitle DeviceSerialNumber DeviceUID
        DeviceDescription LongDeviceDescription DetectorID GantryID GeneratorID CassetteID PlateID
        UniqueDeviceIdentifier UDISequence XRaySourceID XRayDetectorID XRayDetectorLabel
        TransducerIdentificationSequence NetworkID RetrieveAETitle PerformedStationAETitle PerformedStationName
        PerformedStationNameCodeSequence PerformedStationGeographicLocationCodeSequence PerformedLocation
        ScheduledStationAETitle ScheduledStationName ScheduledStationNameCodeSequence
        ScheduledStationGeographicLocationCodeSequence ScheduledProcedureStepLocation RequestedProcedureLocation
        ScheduledStudyLocation ScheduledStudyLocationAETitle LensSerialNumber ModifyingSystem
        SourceOfPreviousValues TimezoneOffsetFromUTC
    """,
    "typed": """
        StudyDescription SeriesDescription ProtocolName RequestedProcedureDescription RequestedSeriesDescription
        PerformedProcedureStepDescription ScheduledProcedureStepDescription CommentsOnThePerformedProcedureStep
        ReasonForStudy ReasonForVisit ReasonForTheImagingServiceRequest ReasonForTheRequestedProcedure
        ReasonForVisitCodeSequence ReasonForRequestedProcedureCodeSequence RequestedProcedureComments
        AdmittingDiagnosesDescription AdmittingDiagnosesCodeSequence DischargeDiagnosisDescription ImageComments
        FrameComments StudyComments VisitComments ResultsComments AcquisitionComments TextComments
        ImagePresentationComments CommentsOnRadiationDose IdentifyingComments DerivationDescription
        AcquisitionProtocolDescription AcquisitionDeviceProcessingDescription ContributionDescription
        ContrastBolusAgent RequestedContrastAgent ModifiedImageDescription InterpretationText
        InterpretationDiagnosisDescription InterpretationAuthor InterpretationRecorder InterpretationTranscriber
        PhysicianApprovingInterpretation Impressions TextString LabelText BarcodeValue
        AcquisitionContextSequence ContentSequence GraphicAnnotationSequence EncapsulatedDocument
    """,
    "copies": """
        OriginalAttributesSequence ModifiedAttributesSequence DigitalSignaturesSequence MAC
        ReferencedStudySequence ReferencedImageSequence SourceImageSequence
        ReferencedPerformedProcedureStepSequence IconImageSequence OverlayComments
    """,
}
PROFILE = frozenset(keyword for words in _THEMES.values() for keyword in words.split())
"""Keywords of DICOM PS3.15 Annex E, Table E.1-1 (edition 2024b), that carry identity and occur in images or beside.

Left out: radiotherapy plans, hanging protocols and GPS tags of cameras. Dates, times, names and UIDs are not listed one
by one: `IDENTIFYING_VRS` and `rrg.phi` find every one of them, those that are not in the table, too.
"""
IDENTIFYING_VRS = {"PN", "DA", "DT", "TM"}
"""Person names, dates and times, whatever the attribute (the table's note on dates; retired ones as well)."""
Deed = Literal["pseudonymised", "date", "closed word", "never copied"]
"""What becomes of an attribute: see `report_markdown`."""
PSEUDONYMISED = {
    "PatientID",
    "AccessionNumber",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "MediaStorageSOPInstanceUID",
}
CLOSED_WORDS = {"ContrastBolusAgent", "PatientSex", "PatientAge", "PatientBirthDate"}
"""Read, and reduced to yes or no, F, M or O, and an age band."""
PRIVATE_FILE = {"StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"}
"""Also kept as it is in the store's own ``private`` folder."""


def deed(keyword: str) -> Deed:
    """What rrg does with an attribute."""
    tag = tag_for_keyword(keyword)
    if keyword in PSEUDONYMISED:
        return "pseudonymised"
    if keyword == "StudyDate":
        return "date"
    if keyword in CLOSED_WORDS or tag in TAGS.values():
        return "closed word"
    return "never copied"
